// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "io/safetensors.h"

namespace forge::io {

/// The weights of a folder: model.safetensors, or the shards that model.safetensors.index.json lists.
class SafetensorsFolder {
 public:
  struct Item {
    const SafetensorsFile* file;
    const SafetensorsFile::Entry* entry;
  };
  /// Throws Error(kInput) if a shard is missing, a tensor is in two of them, or the index and the shards
  /// disagree; and for a folder that has PyTorch checkpoints only, with the way to convert them.
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  /// By tensor name.
  const std::map<std::string, Item>& items() const { return items_; }
  /// By file name; one, or the shards.
  const std::map<std::string, SafetensorsFile>& files() const { return files_; }

 private:
  void OpenShards(const std::filesystem::path& folder, const std::filesystem::path& index);

  std::map<std::string, SafetensorsFile> files_;
  std::map<std::string, Item> items_;
};

/// Whether this is a checkpoint in PyTorch's own format: by its ending (.bin, .pt, .pth, .ckpt).
bool IsPyTorchCheckpoint(const std::filesystem::path& path);
/// Error(kInput) that says why forge does not read it and how to convert it.
[[noreturn]] void RefusePyTorchCheckpoint(const std::filesystem::path& path);

}  // namespace forge::io
