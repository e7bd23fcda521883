// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "model/testing_models.h"
#include "train/torch/gradient_sum.h"
#include "train/torch/token_loss.h"
#include "train/torch/tune_pass.h"
#include "train/tune_job.h"

namespace forge::train::testing {

using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::TinyConfig;

inline const at::Device kCpu(at::kCPU);

inline ModelConfig SmallConfig(bool tied = true) {
  ModelConfig config = TinyConfig();
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.head_dim = 8;
  config.tie_word_embeddings = tied;
  return config;
}

/// Documents of 5, 3 and 4 tokens, of which the first tokens of the second are a prompt.
inline const std::vector<std::vector<int>> kDocuments{{7, 1, 33, 12, 9}, {0, 39, 5}, {20, 21, 1, 2}};
inline const std::vector<std::vector<float>> kWeights{{0, 1, 1, 0.5f, 1}, {0, 0, 1}, {0, 1, 2, 1}};
inline const std::vector<std::vector<float>> kTeacherWeights{{0, 1, 0, 0.5f, 1}, {0, 2, 1}, {0, 0, 0, 0}};

/// Each in a row of its own.
inline TokenBatch Apart() {
  TokenBatch batch{.rows = 3, .length = 5};
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < 5; ++t) {
      const bool is_there = t < kDocuments[row].size();
      batch.tokens.push_back(is_there ? kDocuments[row][t] : 0);
      batch.token_weights.push_back(is_there ? kWeights[row][t] : 0);
    }
  return batch;
}

/// All in one row, with two tokens that nothing is learned from.
inline TokenBatch Packed() {
  TokenBatch batch{.rows = 1, .length = 14};
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < kDocuments[row].size(); ++t) {
      batch.tokens.push_back(kDocuments[row][t]);
      batch.token_weights.push_back(kWeights[row][t]);
      batch.positions.push_back(static_cast<int>(t));
    }
  for (int t = 0; t < 2; ++t) {
    batch.tokens.push_back(0);
    batch.token_weights.push_back(0);
    batch.positions.push_back(t);
  }
  return batch;
}

struct Pass {
  double loss = 0;
  std::vector<AdamW::Group> groups;
  std::vector<at::Tensor> gradients;
};

/// Both with a teacher too.
inline TokenBatch ApartTaught() {
  TokenBatch batch = Apart();
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < 5; ++t)
      batch.teacher_weights.push_back(t < kDocuments[row].size() ? kTeacherWeights[row][t] : 0);
  return batch;
}
inline TokenBatch PackedTaught() {
  TokenBatch batch = Packed();
  for (const std::vector<float>& weights : kTeacherWeights)
    batch.teacher_weights.insert(batch.teacher_weights.end(), weights.begin(), weights.end());
  batch.teacher_weights.resize(batch.tokens.size());
  return batch;
}

inline Pass RunPass(TuneJob& job, const TokenBatch& batch) {
  const TunedWeights weights(job, kCpu);
  std::optional<TunedWeights> teacher;
  if (job.teacher != nullptr) teacher = TunedWeights::Teacher(job, kCpu);
  Pass pass{.groups = weights.Groups()};
  GradientSum sum(pass.groups.size());
  TunePassResult result = RunTunePass(job.config, weights, teacher ? &*teacher : nullptr, batch,
                                      {.total_weight = TotalWeight(batch),
                                       .teacher_temperature = job.teacher_temperature,
                                       .recompute_activations = job.recompute_activations},
                                      {&sum, 0});
  pass.loss = result.loss;
  pass.gradients = sum.sums();
  if (const int index = weights.IndexOf("model.embed_tokens.weight"); index >= 0) {
    at::Tensor& table = pass.gradients[static_cast<std::size_t>(index)];
    if (!table.defined()) table = at::zeros_like(weights.Weight("model.embed_tokens.weight"));
    table.index_add_(0, result.tokens, result.embedding_gradient);
  }
  return pass;
}

// Sums of up to 64 float32 products of size 1 in another order, through 2 layers: a few hundred roundings of
// 6e-8 of the largest gradient.

}  // namespace forge::train::testing
