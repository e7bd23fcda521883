// SPDX-License-Identifier: Apache-2.0
#include "hub/model_files.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "io/json_file.h"
#include "io/safetensors_folder.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSmallFiles[] = {"config.json",
                                       "generation_config.json",
                                       "adapter_config.json",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "tokenizer.model",
                                       "vocab.json",
                                       "merges.txt",
                                       "added_tokens.json",
                                       "special_tokens_map.json",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "model.safetensors.index.json"};
constexpr char kIndex[] = "model.safetensors.index.json", kSingle[] = "model.safetensors";

bool IsCheckpoint(const std::string& name) {
  return io::IsPyTorchCheckpoint(name) || name.ends_with(".pkl") || name.ends_with(".pickle");
}

bool IsSmallFile(const std::string& name) {
  return std::find(std::begin(kSmallFiles), std::end(kSmallFiles), name) != std::end(kSmallFiles);
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The safetensors at the top. Some repositories hold the same weights again, as consolidated.safetensors or
/// model.fp16.safetensors.
std::vector<std::string> Weights(const std::vector<std::string>& files) {
  std::vector<std::string> all, standard;
  for (const std::string& name : files) {
    if (name.find('/') != std::string::npos || !name.ends_with(".safetensors")) continue;
    all.push_back(name);
    if (MatchesGlob(name, "model-*-of-*.safetensors") || name == "adapter_model.safetensors")
      standard.push_back(name);
  }
  const bool has_single = Contains(files, kSingle);
  if (has_single) std::erase_if(standard, [](const std::string& name) { return name.starts_with("model-"); });
  if (has_single) standard.push_back(kSingle);
  return has_single || Contains(files, kIndex) ? standard : all;
}

[[noreturn]] void ThrowNoWeights(const Repo& repo, const std::vector<std::string>& files) {
  const auto found = [&](const auto& is_wanted) {
    return std::find_if(files.begin(), files.end(), is_wanted);
  };
  const auto gguf = found([](const std::string& name) { return name.ends_with(".gguf"); });
  const auto checkpoint = found(IsCheckpoint);
  Error::Fields fields{.what = "there is nothing to pull for forge in " + repo.id};
  if (gguf != files.end()) {
    fields.why = fmt::format("its weights are GGUF files, such as {}", *gguf);
    fields.fix = fmt::format("forge pull {} --include '{}'", repo.id, *gguf);
  } else if (checkpoint != files.end()) {
    fields.why = fmt::format(
        "its weights are PyTorch checkpoints ({}), which are programs; forge reads safetensors", *checkpoint);
    fields.fix = fmt::format(
        "convert it with transformers: AutoModelForCausalLM.from_pretrained('{}').save_pretrained('FOLDER'), "
        "and "
        "the tokenizer likewise; or look for a revision with safetensors (@refs/pr/N)",
        repo.id);
  } else {
    fields.why = fmt::format("none of its {} files holds weights", files.size());
    fields.fix = "check the name, or choose files with --include GLOB";
  }
  throw Error(std::move(fields));
}

/// Whether every file that the index names is there.
bool HasAllShards(const fs::path& folder) {
  if (!fs::exists(folder / kIndex)) return false;
  std::set<std::string> shards;
  try {
    const io::Json index = io::ReadJsonFile(folder / kIndex);
    for (const auto& [tensor, shard] : index.at("weight_map").items()) shards.insert(shard);
  } catch (const io::Json::exception&) {
    return false;
  }
  return !shards.empty() && std::all_of(shards.begin(), shards.end(), [&](const std::string& name) {
    return IsSafeFileName(name) && fs::exists(folder / name);
  });
}

}  // namespace

bool MatchesGlob(const std::string& name, const std::string& glob) {
  return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
}

std::vector<std::string> ChooseModelFiles(const Repo& repo, const std::vector<std::string>& files,
                                          const std::vector<std::string>& include) {
  std::vector<std::string> chosen;
  if (include.empty()) {
    chosen = Weights(files);
    if (chosen.empty()) ThrowNoWeights(repo, files);
    for (const std::string& name : files)
      if (IsSmallFile(name)) chosen.push_back(name);
    return chosen;
  }
  bool left_out = false;
  for (const std::string& name : files) {
    if (!std::any_of(include.begin(), include.end(),
                     [&](const std::string& glob) { return MatchesGlob(name, glob); }))
      continue;
    if (IsCheckpoint(name))
      left_out = true;
    else
      chosen.push_back(name);
  }
  if (!chosen.empty()) return chosen;
  if (left_out) ThrowNoWeights(repo, files);
  throw Error({.what = fmt::format("no file of {} matches --include", repo.id),
               .why = fmt::format("it has {} files, the first is {}", files.size(),
                                  files.empty() ? "none" : files[0]),
               .fix = fmt::format("look at the names on its page: {}", repo.id)});
}

std::optional<fs::path> FindModelIn(const fs::path& snapshot) {
  if (fs::exists(snapshot / "adapter_config.json") && fs::exists(snapshot / "adapter_model.safetensors"))
    return snapshot;
  if (fs::exists(snapshot / "config.json") && (fs::exists(snapshot / kSingle) || HasAllShards(snapshot)))
    return snapshot;
  std::vector<fs::path> ggufs;
  for (const auto& entry : fs::directory_iterator(snapshot))  // exists: not a link whose blob was removed
    if (entry.path().extension() == ".gguf" && entry.exists()) ggufs.push_back(entry.path());
  if (ggufs.size() == 1) return ggufs[0];
  return std::nullopt;
}

}  // namespace forge::hub
