// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_source.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "model/model_folder.h"
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
  const bool known = hub != name || name.find('/') != std::string::npos;
  throw Error({.kind = ErrorKind::kInput,
               .what = "there is no model " + name,
               .why = fmt::format("neither {} nor {} exists", name, (models_dir / name).string()),
               .fix = known ? fmt::format("download the files of https://huggingface.co/{} into {}", hub, (models_dir / name).string())
                            : "give the path of a model folder or GGUF file, or train the starter suite: forge starter --out " + models_dir.string() + "/starter"});
}

bool IsLoraFolder(const fs::path& path) { return fs::exists(path / "adapter_config.json"); }

LoadedModel LoadModel(const fs::path& path, const LoadedModel* lora_base) {
  LoadedModel loaded{.path = path};
  loaded.name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  if (IsLoraFolder(path)) {
    if (lora_base == nullptr)
      throw Error({.what = "cannot use " + path.string() + " alone", .why = "it is a LoRA adapter, which changes a base model", .fix = "give the base model too: --base MODEL"});
    loaded.config = lora_base->config;
    loaded.weights = lora_base->weights;
    loaded.tokenizer = lora_base->tokenizer;
    model::AddLora(model::ReadLoraAdapter(path), 1.0, loaded.weights, path.string());
    return loaded;
  }
  const bool folder = fs::is_directory(path);
  model::ModelFolder files = folder ? model::LoadModelFolder(path) : model::LoadGguf(path);
  loaded.config = files.config;
  loaded.weights = std::move(files.weights);
  loaded.tokenizer = text::LoadTokenizer(path);
  if (loaded.tokenizer->size() > loaded.config.vocab_size)
    throw Error({.what = "cannot use the model " + path.string(),
                 .why = fmt::format("its tokenizer has {} tokens, its embedding {} rows", loaded.tokenizer->size(), loaded.config.vocab_size),
                 .fix = "use the tokenizer that belongs to this model"});
  return loaded;
}

void SaveLoadedModel(const fs::path& folder, const LoadedModel& model, bool full_precision, bool replace) {
  io::AtomicFolder staging(folder.string() + ".tokenizer", true);  // the tokenizer's files, to be copied into the model folder
  text::SaveTokenizer(staging.path(), model.tokenizer->data(), model.config.max_position_embeddings);
  model::SaveModelFolder(folder, model.config, model.weights, full_precision ? io::FloatType::kF32 : io::FloatType::kBF16, staging.path(), replace);
}

std::uint64_t WeightBytes(const model::ModelConfig& config) {
  return static_cast<std::uint64_t>(model::CountParameters(config)) * sizeof(float);
}

}  // namespace forge::pipeline
