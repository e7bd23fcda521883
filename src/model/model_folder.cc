// SPDX-License-Identifier: Apache-2.0
#include "model/model_folder.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/safetensors_folder.h"
#include "io/safetensors_writer.h"
#include "model/architecture.h"

namespace forge::model {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json",
    "merges.txt"};

bool IsIgnored(const std::string& name, const ModelConfig& config) {
  return (config.tie_word_embeddings && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq");
}

}  // namespace

ModelConfig ReadModelConfig(const fs::path& config_json) {
  ModelConfig config =
      ParseModelConfig(io::ReadJsonFile(config_json, io::kConfigLimits), config_json.string());
  const fs::path generation = config_json.parent_path() / "generation_config.json";
  if (!fs::exists(generation)) return config;
  const Json json = io::ReadJsonFile(generation, io::kConfigLimits);
  if (!json.is_object() || !json.contains("eos_token_id") || json["eos_token_id"].is_null()) return config;
  std::vector<int> ids;
  const Json& eos = json["eos_token_id"];
  for (const Json& id : eos.is_array() ? eos : Json::array({eos})) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= config.vocab_size)
      throw Error({.kind = ErrorKind::kInput,
                   .what = "cannot use " + generation.string(),
                   .why = fmt::format("eos_token_id {} is not a token from 0 to {}", id.dump(),
                                      config.vocab_size - 1),
                   .fix = "correct eos_token_id, or remove the file"});
    ids.push_back(id.get<int>());
  }
  config.eos_token_ids = ids;
  return config;
}

ModelFolder LoadModelFolder(const fs::path& path) {
  ModelFolder model;
  model.path = path;
  model.config_json = io::ReadJsonFile(path / "config.json", io::kConfigLimits);
  model.config = ReadModelConfig(path / "config.json");
  const io::SafetensorsFolder files(path);
  for (const auto& [name, item] : files.items()) {
    if (IsIgnored(name, model.config)) continue;
    Tensor& tensor = model.weights[name];
    tensor.shape = item.entry->shape;
    tensor.values.resize(item.entry->size());
    item.file->ReadFloats(*item.entry, tensor.values);
  }
  CheckWeights(model.config, model.weights, path.string());
  return model;
}

void CopyTokenizerFiles(const fs::path& from, const fs::path& to) {
  for (const char* name : kTokenizerFiles)
    if (fs::exists(from / name)) io::WriteFileAtomically(to / name, io::ReadFile(from / name));
}

void SaveModelFolder(const fs::path& path, const ModelConfig& config, const ModelWeights& weights,
                     io::FloatType type, const fs::path& tokenizer_source, bool replace) {
  CheckConfig(config, path.string());
  CheckWeights(config, weights, path.string());
  if (config.attention_bias && !FindArchitecture(config.model_type)->has_qkv_bias)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot write " + path.string(),
                 .why = fmt::format(
                     "the model has biases on q, k and v only; a {} folder would have one on o_proj too",
                     config.model_type),
                 .fix = "keep it as a GGUF file"});
  io::AtomicFolder folder(path, replace);
  io::WriteJsonFile(folder.path() / "config.json", ToConfigJson(config, type));
  Json generation = {{"_from_model_config", true}};
  if (config.bos_token_id >= 0) generation["bos_token_id"] = config.bos_token_id;
  if (config.pad_token_id >= 0) generation["pad_token_id"] = config.pad_token_id;
  if (config.eos_token_ids.size() == 1) generation["eos_token_id"] = config.eos_token_ids[0];
  if (config.eos_token_ids.size() > 1) generation["eos_token_id"] = config.eos_token_ids;
  io::WriteJsonFile(folder.path() / "generation_config.json", generation);
  std::vector<io::NamedFloats> tensors;
  for (const auto& [name, tensor] : weights) tensors.push_back({name, tensor.shape, tensor.values});
  io::WriteSafetensors(folder.path() / "model.safetensors", std::move(tensors), type);
  if (!tokenizer_source.empty()) CopyTokenizerFiles(tokenizer_source, folder.path());
  folder.Commit();
}

}  // namespace forge::model
