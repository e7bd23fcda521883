// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/token_batch.h"
#include "train/torch/decoder_layer.h"

namespace forge::train {

/// What a micro-batch gives beside the gradients in the sink.
struct TunePassResult {
  double loss = 0;           // sum of weight * -log p and weight * KL(teacher || model), over total_weight
  double relation_loss = 0;  // of relation_layer
  // The gradient of the embeddings, one row for each input: given to the table when all micro-batches are
  // done, because a tied table has its first part from the head long before.
  at::Tensor tokens, embedding_gradient;  // [N] and [N, hidden]; undefined when the table is frozen
};

struct TunePassSettings {
  double total_weight = 1;         // of all micro-batches of the step
  double teacher_temperature = 1;  // TuneJob::teacher_temperature
  bool recompute_activations = false;
  int relation_layer = -1;    // TuneJob::relation_layer
  double relation_share = 0;  // TuneJob::relation_share
};

/// Forward and backward pass of one micro-batch. Logits exist only for positions that have a weight, and for
/// at most kHeadRows of them at a time.
/// `teacher` may be null if the batch has no teacher_weights.
inline constexpr std::int64_t kHeadRows = 256, kHeadStep = 64;  // rows come in whole steps
TunePassResult RunTunePass(const model::ModelConfig& config, const TunedWeights& weights,
                           const TunedWeights* teacher, const TokenBatch& batch,
                           const TunePassSettings& settings, const GradientSink& sink);

}  // namespace forge::train
