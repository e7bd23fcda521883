// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <vector>

#include "train/optimizer_config.h"

namespace forge::train {

/// Euclidean norm of all gradients together; undefined ones count as zero.
double GradientNorm(std::span<const at::Tensor> gradients);

/// The same for float32 on the CPU in one pass without temporaries; the same bits for any number of threads.
double GradientNormInPieces(std::span<const at::Tensor> gradients);

/// sum[i] += more[i]; undefined ones count as zero.
void AddGradients(const std::vector<at::Tensor>& more, std::vector<at::Tensor>& sum);

/// AdamW over a list of tensors, in one pass over memory per tensor on the CPU (torch::optim::AdamW makes
/// about ten). Update of step t = 1, 2, ..:
///   m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) +
///   decay w)
class AdamW {
 public:
  struct Group {
    std::string name;
    at::Tensor parameter;
    bool decays;
    double learning_rate_scale = 1;
    at::Tensor first_moment, second_moment;  // made by AdamW
  };

  AdamW(std::vector<Group> groups, const OptimizerConfig& config);

  /// One update with gradients in the order of the groups (an undefined gradient leaves its tensor alone).
  /// Clips by the global norm if the config says so; returns that norm before clipping. step counts from 0.
  double Step(const std::vector<at::Tensor>& gradients, double learning_rate, int step);
  /// The same with the norm already known.
  void Step(const std::vector<at::Tensor>& gradients, double norm, double learning_rate, int step);

  std::vector<Group>& groups() { return groups_; }

 private:
  void Update(Group& group, const at::Tensor& gradient, double gradient_scale, double learning_rate,
              int step);

  std::vector<Group> groups_;
  OptimizerConfig config_;
};

}  // namespace forge::train
