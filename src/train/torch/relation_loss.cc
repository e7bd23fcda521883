// SPDX-License-Identifier: Apache-2.0
#include "train/torch/relation_loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

namespace forge::train {
namespace {

/// Logarithms of the relations [rows, heads, length, length]; minus infinity where there is none.
at::Tensor LogRelations(const at::Tensor& states, const at::Tensor& mask) {
  constexpr double kLeastLength = 1e-6;
  const at::Tensor unit = states / states.norm(2, {-1}, true).clamp_min(kLeastLength);
  const double scale = 1 / std::sqrt(static_cast<double>(states.size(-1)));
  return at::log_softmax(at::matmul(unit, unit.transpose(-1, -2)) * scale + mask, -1);
}

at::Tensor MaskOf(const RowLayout& layout, const at::Device& device) {
  if (layout.mask.defined()) return layout.mask.to(at::kFloat);
  return at::full({layout.length, layout.length}, -std::numeric_limits<float>::infinity(),
                  at::TensorOptions().dtype(at::kFloat).device(device))
      .triu(1);
}

/// Sum over the last axis of p (log p - log q); where p is 0 there is nothing.
at::Tensor Divergence(const at::Tensor& log_p, const at::Tensor& log_q) {
  const at::Tensor is_there = log_p > -std::numeric_limits<float>::infinity();
  const at::Tensor none = at::zeros({}, log_p.options());
  return (log_p.exp() * (at::where(is_there, log_p, none) - at::where(is_there, log_q, none))).sum(-1);
}

double NormOf(const std::vector<at::Tensor>& tensors) {
  double sum = 0;
  for (const at::Tensor& tensor : tensors)
    sum += tensor.to(at::kFloat).square().sum(at::kDouble).item<double>();
  return std::sqrt(sum);
}

}  // namespace

RelationLoss ComputeRelationLoss(const DecoderLayer::Tape& student, const DecoderLayer::Tape& teacher,
                                 const RowLayout& layout) {
  const at::Tensor mask = MaskOf(layout, student.query.device());
  const c10::AutoGradMode gradient_mode(true);
  RelationLoss result;
  for (const auto& [own, known] : {std::pair{&student.query, &teacher.query},
                                   {&student.key, &teacher.key},
                                   {&student.value, &teacher.value}}) {
    const at::Tensor states = own->detach().to(at::kFloat).requires_grad_(true);
    const at::Tensor wanted = LogRelations(known->detach().to(at::kFloat), mask);
    const at::Tensor loss = Divergence(wanted, LogRelations(states, mask)).mean();
    result.loss += loss.item<double>();
    result.gradients.push_back(torch::autograd::grad({loss}, {states})[0]);
  }
  return result;
}

double AddRelationLoss(const DecoderLayer::Tape& student, const DecoderLayer::Tape& teacher,
                       const RowLayout& layout, double share, std::vector<at::Tensor>& gradients) {
  const RelationLoss relation = ComputeRelationLoss(student, teacher, layout);
  const double own = NormOf(relation.gradients);
  if (!(own > 0)) return relation.loss;
  const double scale = share * NormOf(gradients) / own;
  for (std::size_t i = 0; i < gradients.size(); ++i)
    gradients[i] =
        (gradients[i].to(at::kFloat) + relation.gradients[i] * scale).to(gradients[i].scalar_type());
  return relation.loss;
}

}  // namespace forge::train
