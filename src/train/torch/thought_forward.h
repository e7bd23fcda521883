// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "train/thought_job.h"
#include "train/thought_layout.h"
#include "train/torch/tensor_model.h"

namespace forge::train {

/// The learned parts of a thinking model besides its weights, as tensors.
struct ThoughtParameters {
  at::Tensor start_embedding, end_embedding;  // [hidden_size]
  at::Tensor w1, b1, w2, b2, w3, b3;          // MixingHead
  std::vector<std::pair<std::string, at::Tensor*>> All();
};

ThoughtParameters ToThoughtParameters(const ThoughtJob& job, const at::Device& device);

/// Rows of equal shape that run together: texts [rows, text_length], columns [rows, columns].
struct ThoughtBatch {
  int rows = 0, text_length = 0, columns = 0;
  std::vector<int> texts;              // padded with 0
  std::vector<float> text_weights;     // 1 for real tokens but the first, 0 for padding
  std::vector<ThoughtLayout> layouts;  // [rows], passes = thought_length + 2 + look_ahead - 1
  std::vector<float> column_weights;   // 0: a column that only fills the shape
  std::vector<int> thoughts;           // [rows, columns, thought_length]: sampled tokens
};

/// `rows` of the job as one batch; each position gets thoughts_per_position neighbouring columns.
ThoughtBatch MakeThoughtBatch(const ThoughtJob& job, const std::vector<ThoughtRow>& rows);

/// Final-normed states [rows, size, hidden_size] of the packed rows up to and including `passes` passes.
at::Tensor ThoughtStates(const TensorModel& model, const ThoughtParameters& parameters, const ThoughtJob& job,
                         const ThoughtBatch& batch, int passes, const at::Device& device);

/// Fills batch.thoughts by sampling at temperature 1, one pass for each token, without gradients.
void SampleThoughts(const TensorModel& model, const ThoughtParameters& parameters, const ThoughtJob& job,
                    ThoughtBatch& batch, std::uint64_t stream, const at::Device& device);

/// Mixing weights [.., 1] of base and thought states [.., hidden_size].
at::Tensor Mix(const ThoughtParameters& parameters, const at::Tensor& base, const at::Tensor& thought);

/// Sums over the batch, to be added up over micro-batches and divided by their counts.
struct ThoughtLoss {
  at::Tensor total;  // what is minimised, already divided by the counts
  double base_nll = 0, mixed_nll = 0, reward = 0, entropy = 0, weight = 0;
};

/// The packed pass with gradients and the loss of ThoughtJob. reference: the frozen model of the reward.
/// tokens, columns: counts of the whole step.
ThoughtLoss ComputeThoughtLoss(const TensorModel& model, const TensorModel& reference,
                               const ThoughtParameters& parameters, const ThoughtJob& job,
                               const ThoughtBatch& batch, double tokens, double columns,
                               const at::Device& device);

}  // namespace forge::train
