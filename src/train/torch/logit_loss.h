// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace forge::train {

/// What n predictions learn. Shares [n, 1] are those that their weights have of the loss.
struct LogitTargets {
  at::Tensor chosen;       // [n, 1], tokens
  at::Tensor share;        // of -log p(chosen)
  bool has_tokens = true;  // whether any of these is not 0
  /// The teacher's logits [n, vocabulary], which are spent; undefined without one.
  at::Tensor teacher;
  at::Tensor teacher_share;  // of the divergence from the teacher, or from what is known of it
  double temperature = 1;    // TuneJob::teacher_temperature
  at::Tensor top_ids,
      top_probabilities;  // [n, k], TokenBatch::top_ids; undefined without, and with a teacher
};

/// The loss of logits [n, vocabulary] float32, and its gradient, which takes their place.
double LossOfLogits(at::Tensor& logits, LogitTargets targets);

}  // namespace forge::train
