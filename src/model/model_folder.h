// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "io/json_file.h"
#include "io/safetensors_writer.h"
#include "model/model_config.h"
#include "model/model_weights.h"
#include "model/weight_source.h"

namespace forge::model {

/// A model in the Hugging Face layout: config.json, generation_config.json, model.safetensors (or shards) and
/// the tokenizer's files.
struct ModelFolder {
  ModelConfig config;
  ModelWeights weights;
  io::Json config_json;  // the file as it was read
  std::filesystem::path path;
};

/// Reads a config of one of the architectures of model/architecture.h; the eos ids of a
/// generation_config.json beside it win.
///
/// Base and scaling of the positions are read from rope_theta and rope_scaling (transformers 4) or from
/// rope_parameters (5); a field that is left out has transformers' default. What forge does not compute is
/// refused, not ignored: other rope scalings, sliding windows, other activations, biases outside q, k and v,
/// quantized weights. Throws Error(kInput) with everything that is missing or refused.
ModelConfig ReadModelConfig(const std::filesystem::path& config_json);
/// The same from a parsed file; `source` names it in messages.
ModelConfig ParseModelConfig(const io::Json& json, const std::string& source);

/// The config.json that transformers reads back as the same model.
io::Json ToConfigJson(const ModelConfig& config, io::FloatType type);

/// The weights of a folder, not read yet. Ignores a stored head when the config ties it, and the rotary
/// tables that old checkpoints carry. Throws Error(kInput) if the tensors are not those of the config.
std::unique_ptr<WeightSource> OpenModelFolder(const std::filesystem::path& path);

/// Config and weights as float32, all in memory.
ModelFolder LoadModelFolder(const std::filesystem::path& path);

struct SaveOptions {
  io::FloatType type = io::FloatType::kBF16;
  std::filesystem::path tokenizer_source;  // a folder; its tokenizer's files are copied. Empty: none
  bool replace = false;                    // an existing non-empty folder; else it is an Error
  std::uint64_t max_shard_bytes = io::kDefaultShardBytes;
};

/// Writes a complete folder or none, one tensor after the other: memory for a piece of one. Throws
/// Error(kInput) for a value that is not finite, or too large for the type.
void SaveModelFolder(const std::filesystem::path& path, const WeightSource& weights,
                     const SaveOptions& options);
/// The same for weights in memory.
void SaveModelFolder(const std::filesystem::path& path, const ModelConfig& config,
                     const ModelWeights& weights, io::FloatType type,
                     const std::filesystem::path& tokenizer_source, bool replace = false);

/// Writes config.json and generation_config.json alone. Throws Error(kInput) for a config that a folder
/// cannot express.
void WriteConfigFiles(const std::filesystem::path& folder, const ModelConfig& config, io::FloatType type);

/// Throws Error(kInput) if rounding to `type` makes a finite value infinite, naming the tensor; `source`
/// names the model.
void CheckRange(std::span<const float> values, io::FloatType type, const std::string& tensor,
                const std::string& source);

/// Copies the files of a tokenizer that exist: tokenizer.json, tokenizer_config.json, tokenizer.model,
/// special_tokens_map.json, added_tokens.json, chat_template.jinja, vocab.json and merges.txt.
void CopyTokenizerFiles(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace forge::model
