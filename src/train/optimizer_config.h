// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace forge::train {

/// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with linear warm-up and cosine decay.
struct OptimizerConfig {
  double learning_rate = 1e-3;
  double final_learning_rate_ratio = 0.05;  // at the last step, as a share of learning_rate
  int warmup_steps = 20;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.0;       // on linears and embeddings; norms and biases never decay
  double max_gradient_norm = 1.0;  // of all gradients together; 0: no clipping
};

/// Learning rate of step 0 .. steps - 1: rises linearly over warmup_steps (step 0 has 1/warmup_steps of it),
/// then falls along half a cosine to learning_rate * final_learning_rate_ratio at the last step.
double LearningRate(const OptimizerConfig& config, int step, int steps);

}  // namespace forge::train
