// SPDX-License-Identifier: Apache-2.0
#include "train/torch/adamw.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"

namespace forge::train {
namespace {

struct Factors {
  float b1, b2, correction1, correction2, rate, epsilon, decay, scale;
};

// One version for each vector length. All give the same bits: every operation rounds as IEEE says, and none
// is fused (-ffp-contract=off). Square roots and divisions are half of the time with 4 lanes.
__attribute__((target_clones("avx512f", "avx2", "default"))) void UpdateRange(const float* g, float* w,
                                                                              float* m, float* v,
                                                                              std::size_t size,
                                                                              const Factors& f) {
  const Factors k = f;  // a copy: stores through the pointers cannot change it
  for (std::size_t i = 0; i < size; ++i) {
    const float slope = g[i] * k.scale;
    m[i] = k.b1 * m[i] + (1 - k.b1) * slope;
    v[i] = k.b2 * v[i] + (1 - k.b2) * slope * slope;
    w[i] -= k.rate * (m[i] * k.correction1 / (std::sqrt(v[i] * k.correction2) + k.epsilon) + k.decay * w[i]);
  }
}

}  // namespace

double GradientNorm(std::span<const at::Tensor> gradients) {
  double squares = 0;
  for (const at::Tensor& gradient : gradients)
    if (gradient.defined()) squares += gradient.square().sum(at::kDouble).item<double>();
  return std::sqrt(squares);
}

double GradientNormInPieces(std::span<const at::Tensor> gradients) {
  constexpr std::size_t kPiece = 1 << 16;  // fixed, so that the order of the sums is
  double squares = 0;
  for (const at::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    const at::Tensor dense = gradient.contiguous();
    const float* values = dense.const_data_ptr<float>();
    const auto size = static_cast<std::size_t>(dense.numel());
    std::vector<double> sums((size + kPiece - 1) / kPiece);
    ThreadPool::Global().Run(sums.size(), [&](std::size_t piece) {
      double lanes[8] = {};  // independent sums, which the compiler can keep in one vector
      const std::size_t end = std::min(size, (piece + 1) * kPiece);
      std::size_t i = piece * kPiece;
      for (; i + 8 <= end; i += 8)
        for (std::size_t lane = 0; lane < 8; ++lane) {
          const auto value = static_cast<double>(values[i + lane]);
          lanes[lane] += value * value;
        }
      for (; i < end; ++i) lanes[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      for (const double lane : lanes) sums[piece] += lane;
    });
    for (const double sum : sums) squares += sum;
  }
  return std::sqrt(squares);
}

void AddGradients(const std::vector<at::Tensor>& more, std::vector<at::Tensor>& sum) {
  for (std::size_t i = 0; i < sum.size(); ++i)
    if (more[i].defined()) sum[i] = sum[i].defined() ? sum[i] + more[i] : more[i];
}

AdamW::AdamW(std::vector<Group> groups, const OptimizerConfig& config)
    : groups_(std::move(groups)), config_(config) {
  for (Group& group : groups_) {
    group.first_moment = at::zeros_like(group.parameter);
    group.second_moment = at::zeros_like(group.parameter);
  }
}

double AdamW::Step(const std::vector<at::Tensor>& gradients, double learning_rate, int step) {
  const double norm = GradientNorm(gradients);
  Step(gradients, norm, learning_rate, step);
  return norm;
}

void AdamW::Step(const std::vector<at::Tensor>& gradients, double norm, double learning_rate, int step) {
  const double limit = config_.max_gradient_norm;
  const double scale = limit > 0 && norm > limit ? limit / norm : 1.0;
  for (std::size_t i = 0; i < groups_.size(); ++i)
    if (gradients[i].defined())
      Update(groups_[i], gradients[i], scale, learning_rate * groups_[i].learning_rate_scale, step);
}

void AdamW::Update(Group& group, const at::Tensor& gradient, double gradient_scale, double learning_rate,
                   int step) {
  const auto b1 = static_cast<float>(config_.beta1), b2 = static_cast<float>(config_.beta2);
  const auto correction1 = static_cast<float>(1 / (1 - std::pow(config_.beta1, step + 1)));
  const auto correction2 = static_cast<float>(1 / (1 - std::pow(config_.beta2, step + 1)));
  const auto rate = static_cast<float>(learning_rate), epsilon = static_cast<float>(config_.epsilon);
  const auto decay = static_cast<float>(group.decays ? config_.weight_decay : 0);
  const auto scale = static_cast<float>(gradient_scale);
  if (!group.parameter.is_cpu()) {
    const at::Tensor g = gradient * scale;
    group.first_moment.mul_(b1).add_(g, 1 - b1);
    group.second_moment.mul_(b2).addcmul_(g, g, 1 - b2);
    const at::Tensor update =
        group.first_moment * correction1 / ((group.second_moment * correction2).sqrt_() + epsilon);
    group.parameter.sub_(update + group.parameter * decay, rate);
    return;
  }
  const at::Tensor dense = gradient.contiguous();
  const float* g = dense.const_data_ptr<float>();
  float* w = group.parameter.mutable_data_ptr<float>();
  float* m = group.first_moment.mutable_data_ptr<float>();
  float* v = group.second_moment.mutable_data_ptr<float>();
  const Factors factors{b1, b2, correction1, correction2, rate, epsilon, decay, scale};
  ParallelFor(static_cast<std::size_t>(dense.numel()), 1 << 16, [&](std::size_t begin, std::size_t end) {
    UpdateRange(g + begin, w + begin, m + begin, v + begin, end - begin, factors);
  });
}

}  // namespace forge::train
