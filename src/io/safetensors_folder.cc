// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_folder.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/json_file.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;

// 57 000 tensors, more than any model that forge reads can have, take 6 MB.
constexpr JsonLimits kIndexLimits = {.max_bytes = 16 << 20, .max_values = 400'000};

[[noreturn]] void Fail(const fs::path& path, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = std::move(why),
               .fix = "copy the whole folder again: the index and all the shards it names"});
}

[[noreturn]] void FailWithoutWeights(const fs::path& folder) {
  std::string shard;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (IsPyTorchCheckpoint(entry.path())) RefusePyTorchCheckpoint(entry.path());
    if (entry.path().extension() == ".safetensors") shard = entry.path().filename();
  }
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read the model " + folder.string(),
               .why = "it has neither model.safetensors nor model.safetensors.index.json" +
                      (shard.empty() ? std::string() : ", only " + shard),
               .fix = shard.empty() ? "give a folder in the Hugging Face layout"
                                    : "name the file model.safetensors, or copy the index of its shards"});
}

}  // namespace

bool IsPyTorchCheckpoint(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

void RefusePyTorchCheckpoint(const fs::path& path) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = "it is a PyTorch checkpoint, a Python pickle, which runs code when it is opened; forge "
                      "reads safetensors and GGUF",
               .fix = "convert it once with transformers: python -c \"from transformers import "
                      "AutoModelForCausalLM as M; M.from_pretrained('IN').save_pretrained('OUT')\""});
}

SafetensorsFolder::SafetensorsFolder(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (fs::exists(single))
    files_.emplace(single.filename(), SafetensorsFile(single));
  else if (fs::exists(index))
    OpenShards(folder, index);
  else
    FailWithoutWeights(folder);
  for (const auto& [name, file] : files_)
    for (const SafetensorsFile::Entry& entry : file.entries())
      if (!items_.emplace(entry.name, Item{&file, &entry}).second)
        Fail(folder / name, fmt::format("tensor {} is in another shard too", entry.name));
}

void SafetensorsFolder::OpenShards(const fs::path& folder, const fs::path& index) {
  const Json json = ReadJsonFile(index, kIndexLimits);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    Fail(index, "it has no object \"weight_map\"");
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) Fail(index, fmt::format("the file of tensor {} must be a string", tensor));
    const auto name = file.get<std::string>();
    if (name.empty() || fs::path(name).filename() != name || name == "." || name == "..")
      Fail(index, fmt::format("\"{}\" is not a file name in this folder", name));
    if (!files_.contains(name)) {
      if (!fs::exists(folder / name))
        Fail(index, fmt::format("tensor {} is in {}, which is not there", tensor, name));
      files_.emplace(name, SafetensorsFile(folder / name));
    }
    if (files_.at(name).Find(tensor) == nullptr)
      Fail(index, fmt::format("{} has no tensor {}", name, tensor));
  }
}

}  // namespace forge::io
