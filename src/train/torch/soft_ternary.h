// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "model/model_weights.h"
#include "train/torch/adamw.h"

namespace forge::train {

/// The ternary linear of a LayerJob (layer_job.h has the equations). Shapes: u [out, in / group, group], the
/// factors of groups [out, in / group, 1].
class SoftTernary {
 public:
  /// The slope at the first and the last soft step: sharp from the start, so that the layer learns with what
  /// it will lose, but not so sharp that most weights feel nothing.
  static constexpr double kFirstSlope = 6, kLastSlope = 100;

  /// u = weight / scale; groups of scale 0 stay zeros.
  ///   scales  [out, in / group]
  SoftTernary(const model::Tensor& weight, const std::vector<float>& scales, int group,
              const at::Device& device);

  /// u, log(alpha), delta and mu, in this order, as the optimizer steps them.
  std::vector<AdamW::Group> Groups(const std::string& name) const;
  /// [out, in] at a slope; hard without one.
  at::Tensor Values(std::optional<double> slope) const;
  /// The gradients of Groups from that of the values [out, in], at the same slope; delta and mu have none
  /// where it is hard.
  std::vector<at::Tensor> Backward(const at::Tensor& gradient, std::optional<double> slope) const;
  /// Codes, and scales rounded to binary16.
  model::TernaryTensor Harden() const;

 private:
  at::Tensor Codes() const;  // [out, in / group, group]

  std::vector<std::int64_t> shape_;
  int group_;
  at::Tensor u_, log_scale_, threshold_, shift_;
  at::Tensor alive_;  // 0 for groups of zeros, whose scale is 0 and stays so; else 1
};

}  // namespace forge::train
