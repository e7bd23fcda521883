// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_reference.h"

#include <fmt/format.h>

#include "base/error.h"
#include "hub/hub_settings.h"
#include "hub/pull.h"
#include "hub/repo.h"
#include "hub/repo_cache.h"
#include "io/safetensors_folder.h"
#include "io/section_file.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "model/model_folder.h"

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

/// OWNER/NAME or OWNER/NAME@REVISION, as on huggingface.co, and no path below a folder that is here.
bool IsHubName(const std::string& name) {
  const std::string id = name.substr(0, name.find('@'));
  const std::size_t slash = id.find('/');
  return slash != std::string::npos && hub::IsRepoId(id) && !fs::exists(id.substr(0, slash));
}

/// Where a name without adapters is; empty if nowhere.
fs::path Find(const std::string& name, const fs::path& models_dir) {
  if (name.empty()) return {};
  if (fs::exists(name)) return name;
  if (fs::exists(models_dir / name)) return models_dir / name;
  const std::string hub_name = HubName(name);
  if (!IsHubName(hub_name)) return {};
  const fs::path by_hub_name = models_dir / fs::path(hub_name).filename();
  if (fs::exists(by_hub_name)) return by_hub_name;
  return hub::FindPulledModel(hub::CacheFolder(), hub_name).value_or(fs::path());
}

/// The same for a name that may have adapters. The last + with a model on its left and an adapter on its
/// right is taken.
fs::path FindAll(const std::string& name, const fs::path& models_dir) {
  if (const fs::path whole = Find(name, models_dir); !whole.empty()) return whole;
  for (std::size_t plus = name.rfind('+'); plus != std::string::npos && plus > 0;
       plus = name.rfind('+', plus - 1)) {
    const fs::path adapter = Find(name.substr(plus + 1), models_dir);
    if (adapter.empty() || !IsLoraFolder(adapter)) continue;
    const fs::path left = FindAll(name.substr(0, plus), models_dir);
    if (!left.empty()) return left.string() + "+" + adapter.string();
  }
  return {};
}

[[noreturn]] void ThrowMissing(const std::string& name, const fs::path& models_dir) {
  const std::string hub_name = HubName(name);
  const bool is_on_hub = IsHubName(hub_name);
  throw Error({.kind = ErrorKind::kInput,
               .what = "there is no model " + name,
               .why = fmt::format("neither {} nor {} exists{}", name, (models_dir / name).string(),
                                  is_on_hub ? ", and the cache of pulled models has no whole copy" : ""),
               .fix = is_on_hub ? "forge pull " + hub_name
                                : "give the path of a model folder or GGUF file, or train the starter suite: "
                                  "forge starter --out " +
                                      models_dir.string() + "/starter"});
}

}  // namespace

std::string HubName(const std::string& name) {
  for (const ShortName& entry : kShortNames)
    if (name == entry.name) return entry.hub;
  return name;
}

fs::path ResolveModel(const std::string& name, const fs::path& models_dir) {
  if (const fs::path path = FindAll(name, models_dir); !path.empty()) return path;
  const std::size_t plus = name.find('+');
  if (plus == std::string::npos || plus == 0 || Find(name.substr(0, plus), models_dir).empty())
    ThrowMissing(plus == 0 ? name : name.substr(0, plus), models_dir);
  const std::string adapter = name.substr(plus + 1);
  const fs::path path = Find(adapter, models_dir);
  if (path.empty()) ThrowMissing(adapter, models_dir);
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot add " + adapter + " to a model",
               .why = path.string() + " has no adapter_config.json, so it is no LoRA adapter",
               .fix = "name a folder that PEFT saved after the +"});
}

ModelParts PartsOf(const fs::path& path) {
  ModelParts parts{.base = path, .adapters = {}};
  if (fs::exists(path)) return parts;
  const std::string text = path.string();
  for (std::size_t plus = text.rfind('+'); plus != std::string::npos && plus > 0;
       plus = text.rfind('+', plus - 1)) {
    if (!IsLoraFolder(text.substr(plus + 1))) continue;
    ModelParts left = PartsOf(text.substr(0, plus));
    if (!fs::exists(left.base)) continue;
    left.adapters.push_back(text.substr(plus + 1));
    return left;
  }
  return parts;
}

bool IsLoraFolder(const fs::path& path) { return fs::exists(path / "adapter_config.json"); }

void CheckIsModel(const fs::path& base) {
  if (IsLoraFolder(base))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use " + base.string() + " alone",
                 .why = "it is a LoRA adapter, which changes a base model",
                 .fix = "name the base model before it: BASE+" + base.string()});
  if (fs::is_directory(base)) return;
  if (io::SectionFile::Is(base))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read the weights of " + base.string(),
                 .why = "it is a packed file, which only runs: its weights are in the order of the kernels",
                 .fix = "name the GGUF file or folder that it was made of"});
  if (io::IsPyTorchCheckpoint(base)) io::RefusePyTorchCheckpoint(base);
  if (base.extension() == ".safetensors")
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use " + base.string() + " alone",
                 .why = "a safetensors file does not say what model it is of; config.json beside it does",
                 .fix = "give its folder: " + (base.has_parent_path() ? base.parent_path().string() : ".")});
}

std::unique_ptr<model::WeightSource> OpenWeights(const fs::path& path) {
  const ModelParts parts = PartsOf(path);
  CheckIsModel(parts.base);
  std::unique_ptr<model::WeightSource> weights =
      fs::is_directory(parts.base) ? model::OpenModelFolder(parts.base) : model::OpenGguf(parts.base);
  for (const fs::path& adapter : parts.adapters)
    weights = model::AddLora(std::move(weights), model::ReadLoraAdapter(adapter), 1.0, adapter.string());
  return weights;
}

bool HasTokenizer(const fs::path& base) {
  if (!fs::is_directory(base)) return true;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json"})
    if (fs::exists(base / name)) return true;
  return false;
}

std::string ShortNameOf(const fs::path& path) {
  const auto last = [](fs::path part) {
    if (!part.has_filename()) part = part.parent_path();
    const std::string pulled = hub::NameOfSnapshot(part);
    return pulled.empty() ? part.filename().string() : pulled;
  };
  const ModelParts parts = PartsOf(path);
  std::string name = last(parts.base);
  for (const fs::path& adapter : parts.adapters) name += "+" + last(adapter);
  return name;
}

}  // namespace forge::pipeline
