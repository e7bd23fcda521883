// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "model/testing_models.h"
#include "train/engine.h"

/// For tests only: a random model with something to say, and training batches for it.
namespace forge::compress::testing {

/// Norms around 1 and a larger embedding, so that its predictions are far from uniform.
inline model::ModelWeights OpinionatedWeights(const model::ModelConfig& config) {
  model::ModelWeights weights = model::testing::RandomWeights(config);
  for (const model::TensorSpec& spec : model::ListTensors(config))
    for (float& value : weights.at(spec.name).values) {
      if (spec.role == model::TensorRole::kNorm) value += 1;
      if (spec.role == model::TensorRole::kEmbedding) value *= 3;
    }
  return weights;
}

inline std::vector<int> RandomText(const model::ModelConfig& config, std::uint64_t index, int length = 12) {
  Random random(4, "compress/testing", index);
  std::vector<int> tokens;
  for (int i = 0; i < length; ++i)
    tokens.push_back(static_cast<int>(random.Below(static_cast<std::uint32_t>(config.vocab_size))));
  return tokens;
}

/// A part of eight random texts; the teacher counts from the third token on.
inline train::TokenBatch TeacherBatch(const model::ModelConfig& config, int step, int micro,
                                      int micro_batches) {
  const int begin = 8 * micro / micro_batches, end = 8 * (micro + 1) / micro_batches;
  train::TokenBatch batch{.rows = end - begin, .length = 12};
  for (int row = begin; row < end; ++row) {
    const std::vector<int> text = RandomText(config, static_cast<std::uint64_t>(1000 + step * 8 + row));
    batch.tokens.insert(batch.tokens.end(), text.begin(), text.end());
    for (int t = 0; t < batch.length; ++t) batch.teacher_weights.push_back(t < 2 ? 0.0f : 1.0f);
  }
  return batch;
}

inline bool HasEngine() { return std::filesystem::exists(train::EnginePath()); }

}  // namespace forge::compress::testing

#define FORGE_SKIP_WITHOUT_ENGINE()             \
  if (!::forge::compress::testing::HasEngine()) \
  GTEST_SKIP() << "libforge_engine.so is not here; build forge_engine or set FORGE_ENGINE"
