// SPDX-License-Identifier: Apache-2.0
#include "train/torch/soft_ternary.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/check.h"
#include "base/float16.h"

namespace forge::train {
namespace {

constexpr double kThreshold = 0.5;        // half-way between neighbouring codes
constexpr double kStraightThrough = 1.5;  // |u| up to which the hard step lets the gradient through

}  // namespace

SoftTernary::SoftTernary(const model::Tensor& weight, const std::vector<float>& scales, int group,
                         const at::Device& device)
    : shape_(weight.shape), group_(group) {
  const std::int64_t out = shape_[0], groups = shape_[1] / group_;
  FORGE_CHECK(groups * group_ == shape_[1] && scales.size() == static_cast<std::size_t>(out * groups));
  const at::Tensor scale =
      at::from_blob(const_cast<float*>(scales.data()), {out, groups, 1}, at::kFloat).to(device);
  const at::Tensor values =
      at::from_blob(const_cast<float*>(weight.values.data()), {out, groups, group_}, at::kFloat).to(device);
  alive_ = (scale > 0).to(at::kFloat);
  const at::Tensor divisor = at::where(scale > 0, scale, at::ones_like(scale));
  u_ = values / divisor;
  log_scale_ = divisor.log();
  threshold_ = at::full_like(divisor, kThreshold);
  shift_ = at::zeros_like(divisor);
}

std::vector<AdamW::Group> SoftTernary::Groups(const std::string& name) const {
  return {{name, u_, false},
          {name + ".log_scale", log_scale_, false},
          {name + ".threshold", threshold_, false},
          {name + ".shift", shift_, false}};
}

at::Tensor SoftTernary::Codes() const {
  const at::Tensor x = u_ - shift_;
  return (x > threshold_).to(at::kFloat).sub_((x < -threshold_).to(at::kFloat));
}

at::Tensor SoftTernary::Values(std::optional<double> slope) const {
  const at::Tensor scale = log_scale_.exp().mul_(alive_);
  at::Tensor step;
  if (slope) {
    const at::Tensor x = u_ - shift_;
    step = (x - threshold_).mul_(*slope).tanh_().add_((x + threshold_).mul_(*slope).tanh_());
    step.mul_(1 / (2 * std::tanh(*slope)));
  } else {
    step = Codes();
  }
  return step.mul_(scale).view(shape_);
}

std::vector<at::Tensor> SoftTernary::Backward(const at::Tensor& gradient, std::optional<double> slope) const {
  const at::Tensor scale = log_scale_.exp().mul_(alive_);
  const at::Tensor d_step = gradient.view(u_.sizes()) * scale;
  const at::Tensor x = u_ - shift_;
  if (!slope) {
    const at::Tensor d_u = d_step * (x.abs() < kStraightThrough).to(at::kFloat);
    return {d_u, (d_step * Codes()).sum(-1, true), {}, {}};
  }
  const double norm = 1 / (2 * std::tanh(*slope));
  const at::Tensor above = (x - threshold_).mul_(*slope).tanh_(),
                   below = (x + threshold_).mul_(*slope).tanh_();
  const at::Tensor d_log_scale = (d_step * (above + below)).sum(-1, true).mul_(norm);
  // d f / d x of each half: slope (1 - tanh^2) / (2 tanh slope).
  const at::Tensor d_above = above.square().neg_().add_(1).mul_(*slope * norm).mul_(d_step);
  const at::Tensor d_below = below.square().neg_().add_(1).mul_(*slope * norm).mul_(d_step);
  const at::Tensor d_u = d_above + d_below;
  return {d_u, d_log_scale, (d_below - d_above).sum(-1, true), d_u.sum(-1, true).neg_()};
}

model::TernaryTensor SoftTernary::Harden() const {
  const at::Tensor codes = (Codes() * alive_).to(at::kCPU, at::kChar).contiguous();
  const at::Tensor scales = log_scale_.exp().mul_(alive_).to(at::kCPU).contiguous();
  model::TernaryTensor result{.shape = shape_, .codes = {}, .scales = {}, .group = group_};
  result.codes.assign(codes.const_data_ptr<std::int8_t>(),
                      codes.const_data_ptr<std::int8_t>() + codes.numel());
  result.scales.assign(scales.const_data_ptr<float>(), scales.const_data_ptr<float>() + scales.numel());
  for (float& scale : result.scales) scale = RoundToHalf(scale);
  return result;
}

}  // namespace forge::train
