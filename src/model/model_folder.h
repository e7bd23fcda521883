// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "io/float_type.h"
#include "io/json_file.h"
#include "model/model_config.h"
#include "model/model_weights.h"

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

/// Config and weights, as float32, checked with CheckWeights. Ignores a stored head when the config ties it,
/// and the rotary tables that old checkpoints carry.
ModelFolder LoadModelFolder(const std::filesystem::path& path);

/// Writes a complete folder or none: config, weights as `type`, and the tokenizer's files of
/// `tokenizer_source` (those that exist there; an empty path: none). An existing non-empty `path` is replaced
/// only if `replace`.
void SaveModelFolder(const std::filesystem::path& path, const ModelConfig& config,
                     const ModelWeights& weights, io::FloatType type,
                     const std::filesystem::path& tokenizer_source, bool replace = false);

/// Copies tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja, vocab.json and
/// merges.txt, those that exist.
void CopyTokenizerFiles(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace forge::model
