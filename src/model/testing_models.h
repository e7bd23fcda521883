// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>

#include "base/philox.h"
#include "model/model_config.h"
#include "model/model_weights.h"

/// For tests only: a tiny model of random weights, and where the golden files are.
namespace forge::model::testing {

inline ModelConfig TinyConfig(const std::string& model_type = "qwen2") {
  return {.model_type = model_type,
          .vocab_size = 40,
          .hidden_size = 64,
          .intermediate_size = 128,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 16,
          .max_position_embeddings = 128,
          .rms_norm_eps = 1e-5,
          .rope_theta = 500000,
          .attention_bias = model_type == "qwen2",
          .qk_norm = model_type == "qwen3",
          .tie_word_embeddings = true,
          .eos_token_ids = {3, 5}};
}

inline ModelWeights RandomWeights(const ModelConfig& config, std::uint64_t seed = 1) {
  ModelWeights weights;
  for (const TensorSpec& spec : ListTensors(config)) {
    Random random(seed, spec.name);
    Tensor& tensor = weights[spec.name];
    tensor.shape = spec.shape;
    std::size_t size = 1;
    for (const auto length : spec.shape) size *= static_cast<std::size_t>(length);
    for (std::size_t i = 0; i < size; ++i) tensor.values.push_back(static_cast<float>(random.Normal() * 0.1));
  }
  return weights;
}

/// FORGE_SHARED, or ../shared beside the source tree.
inline std::filesystem::path SharedFolder() {
  const char* folder = std::getenv("FORGE_SHARED");
  return folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(FORGE_SOURCE_DIR) / "../shared";
}

}  // namespace forge::model::testing

/// Skips the test, saying why, when the file or folder `path` (below the shared folder) is not there.
#define FORGE_SKIP_WITHOUT_SHARED(path)                                         \
  if (!std::filesystem::exists(::forge::model::testing::SharedFolder() / path)) \
  GTEST_SKIP() << (::forge::model::testing::SharedFolder() / path) << " is not there; set FORGE_SHARED"
