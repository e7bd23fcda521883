// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace forge::train {

double LearningRate(const OptimizerConfig& config, int step, int steps) {
  if (step < config.warmup_steps) return config.learning_rate * (step + 1) / config.warmup_steps;
  const int decay_steps = std::max(1, steps - 1 - config.warmup_steps);
  const double progress = std::min(1.0, static_cast<double>(step - config.warmup_steps) / decay_steps);
  const double share = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return config.learning_rate *
         (config.final_learning_rate_ratio + (1 - config.final_learning_rate_ratio) * share);
}

}  // namespace forge::train
