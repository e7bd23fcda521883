// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "model/model_weights.h"

namespace forge::model {

/// One tensor of a model file as it is stored.
struct StoredTensor {
  TensorSpec spec;   // Hugging Face's name, shape and role
  std::string name;  // in the file
  std::string type;  // "BF16", "Q4_K", ...
  std::uint64_t bytes = 0;
};

/// The tensors of a model folder or GGUF file in the order of the forward pass, and its config, without
/// reading a weight. Throws Error(kInput) as OpenModelFolder and OpenGguf do.
struct StoredModel {
  ModelConfig config;
  std::vector<StoredTensor> tensors;
  std::vector<std::filesystem::path> files;  // that hold the weights
};
StoredModel ReadStoredModel(const std::filesystem::path& path);

/// "embedding", "head", "norm", "attention", "bias" or "mlp".
const char* Name(TensorRole role);

/// What the seven linears are stored as: "BF16", or all the types if there are several: "Q4_K, Q6_K".
std::string LinearTypes(const StoredModel& model);

}  // namespace forge::model
