// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_source.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/gguf.h"
#include "io/safetensors_folder.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "model/ternary_gguf.h"
#include "text/gguf_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

void AddAdapter(const fs::path& adapter, LoadedModel& loaded) {
  WidenTernary(loaded);
  model::AddLora(model::ReadLoraAdapter(adapter), 1.0, loaded.weights, adapter.string());
}

}  // namespace

LoadedModel LoadModel(const fs::path& path, const LoadedModel* lora_base) {
  LoadedModel loaded{.name = ShortNameOf(path), .path = path};
  const ModelParts parts = PartsOf(path);
  if (IsLoraFolder(parts.base) && lora_base != nullptr) {
    loaded.config = lora_base->config;
    loaded.weights = lora_base->weights;
    loaded.ternary = lora_base->ternary;
    loaded.tokenizer = lora_base->tokenizer;
    AddAdapter(path, loaded);
    return loaded;
  }
  CheckIsModel(parts.base);
  if (fs::is_directory(parts.base)) {
    model::ModelFolder files = model::LoadModelFolder(parts.base);
    loaded.config = files.config;
    loaded.weights = std::move(files.weights);
  } else {
    model::TernaryModel file = model::LoadTernaryGguf(parts.base);
    loaded.config = file.config;
    loaded.weights = std::move(file.weights);
    loaded.ternary = std::move(file.ternary);
  }
  for (const fs::path& adapter : parts.adapters) AddAdapter(adapter, loaded);
  loaded.tokenizer = text::LoadTokenizer(parts.base);
  if (loaded.tokenizer->size() > loaded.config.vocab_size)
    throw Error({.what = "cannot use the model " + path.string(),
                 .why = fmt::format("its tokenizer has {} tokens, its embedding {} rows",
                                    loaded.tokenizer->size(), loaded.config.vocab_size),
                 .fix = "use the tokenizer that belongs to this model"});
  return loaded;
}

void WidenTernary(LoadedModel& model) {
  for (const auto& [name, tensor] : model.ternary) model.weights[name] = model::Dequantize(tensor);
  model.ternary.clear();
}

runtime::PackOptions StoredPacking(const fs::path& path) {
  if (!PartsOf(path).adapters.empty() || IsLoraFolder(path)) return {};
  std::set<std::string> linears, tables;  // types of the matrices
  const auto note = [&](const std::string& name, std::size_t dimensions, const std::string& type) {
    if (dimensions != 2) return;
    const bool is_table = name == "model.embed_tokens.weight" || name == "lm_head.weight" ||
                          name == "token_embd.weight" || name == "output.weight";
    const bool is_ternary = type == "Q2_0" || type == "TQ1_0" || type == "TQ2_0";
    if (!is_ternary) (is_table ? tables : linears).insert(type);
  };
  if (fs::is_directory(path)) {
    const io::SafetensorsFolder folder(path);
    for (const auto& [name, item] : folder.items()) note(name, item.entry->shape.size(), item.entry->dtype);
  } else {
    const io::GgufFile file(path);
    for (const auto& entry : file.entries())
      note(entry.name, entry.shape.size(), entry.type ? std::string(io::Info(*entry.type).name) : "");
  }
  const auto narrowest = [](const std::set<std::string>& types) {
    if (types == std::set<std::string>{"BF16"}) return runtime::WeightType::kBFloat16;
    if (types == std::set<std::string>{"Q8_0"}) return runtime::WeightType::kInt8;
    return runtime::WeightType::kFloat32;
  };
  return {.linears = narrowest(linears), .embeddings = narrowest(tables)};
}

void SaveLoadedModel(const fs::path& folder, const LoadedModel& model, bool full_precision, bool replace) {
  io::AtomicFolder staging(folder.string() + ".tokenizer",
                           true);  // the tokenizer's files, to be copied into the model folder
  text::SaveTokenizer(staging.path(), model.tokenizer->data(), model.config.max_position_embeddings);
  model::SaveModelFolder(folder, model.config, model.weights,
                         full_precision ? io::FloatType::kF32 : io::FloatType::kBF16, staging.path(),
                         replace);
}

std::uint64_t WeightBytes(const model::ModelConfig& config) {
  return static_cast<std::uint64_t>(model::CountParameters(config)) * sizeof(float);
}

}  // namespace forge::pipeline
