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

struct ShortName {
  const char* name;
  const char* hub;
};
// original-agent-forge.md 1.6
constexpr ShortName kShortNames[] = {{"deepseek", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"},
                                     {"nemotron", "nvidia/Nemotron-Research-Reasoning-Qwen-1.5B"},
                                     {"qwen2", "Qwen/Qwen2-1.5B-Instruct"}};

}  // namespace

fs::path ResolveModel(const std::string& name, const fs::path& models_dir) {
  if (fs::exists(name)) return name;
  if (fs::exists(models_dir / name)) return models_dir / name;
  std::string hub = name;
  for (const ShortName& entry : kShortNames)
    if (name == entry.name) hub = entry.hub;
  const fs::path by_hub_name = models_dir / fs::path(hub).filename();
  if (fs::exists(by_hub_name)) return by_hub_name;
  const std::size_t slash = hub.find('/');  // OWNER/NAME, not a path
  const bool known = slash != std::string::npos && slash != 0 &&
                     hub.find('/', slash + 1) == std::string::npos && hub[0] != '.' && hub[0] != '~';
  throw Error({.kind = ErrorKind::kInput,
               .what = "there is no model " + name,
               .why = fmt::format("neither {} nor {} exists", name, (models_dir / name).string()),
               .fix = known ? fmt::format("download the files of https://huggingface.co/{} into {}", hub,
                                          (models_dir / name).string())
                            : "give the path of a model folder or GGUF file, or train the starter suite: "
                              "forge starter --out " +
                                  models_dir.string() + "/starter"});
}

bool IsLoraFolder(const fs::path& path) { return fs::exists(path / "adapter_config.json"); }

LoadedModel LoadModel(const fs::path& path, const LoadedModel* lora_base) {
  LoadedModel loaded{.path = path};
  loaded.name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  if (IsLoraFolder(path)) {
    if (lora_base == nullptr)
      throw Error({.what = "cannot use " + path.string() + " alone",
                   .why = "it is a LoRA adapter, which changes a base model",
                   .fix = "give the base model too: --base MODEL"});
    loaded.config = lora_base->config;
    loaded.weights = lora_base->weights;
    loaded.ternary = lora_base->ternary;
    loaded.tokenizer = lora_base->tokenizer;
    WidenTernary(loaded);
    model::AddLora(model::ReadLoraAdapter(path), 1.0, loaded.weights, path.string());
    return loaded;
  }
  if (fs::is_directory(path)) {
    model::ModelFolder files = model::LoadModelFolder(path);
    loaded.config = files.config;
    loaded.weights = std::move(files.weights);
  } else {
    model::TernaryModel file = model::LoadTernaryGguf(path);
    loaded.config = file.config;
    loaded.weights = std::move(file.weights);
    loaded.ternary = std::move(file.ternary);
  }
  loaded.tokenizer = text::LoadTokenizer(path);
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
