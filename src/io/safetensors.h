// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"

namespace forge::io {

/// The number types that weights are stored in.
enum class FloatType { kF32, kF16, kBF16 };

/// "F32", "F16", "BF16": the spelling of safetensors.
std::string_view Name(FloatType type);
/// "float32", "float16", "bfloat16": the spelling of config.json (and the flags).
std::string_view LongName(FloatType type);
/// Either spelling, any case. Throws Error(kUsage) for another word.
FloatType ParseFloatType(std::string_view name);

/// One safetensors file, mapped: u64 header length | JSON header | data
/// (https://github.com/huggingface/safetensors).
///
/// The header must describe the data exactly: every byte of it in one tensor, no tensor twice, each as long
/// as its shape says. Anything else is Error(kInput) with the file, the tensor and the offset.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    std::string dtype;  // "F32", "F16", "BF16", or another type of the format, which only `bytes` can read
    std::vector<std::int64_t> shape;
    std::span<const std::byte> bytes;  // little endian, any alignment; lives as long as the file object
    std::size_t size() const;          // elements; 1 for a scalar, shape []
  };

  explicit SafetensorsFile(const std::filesystem::path& path);

  /// Sorted by name.
  const std::vector<Entry>& entries() const { return entries_; }
  /// nullptr if the file has no such tensor.
  const Entry* Find(std::string_view name) const;
  /// Throws Error(kInput) if the file has no such tensor.
  const Entry& Get(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return file_.path(); }

  /// Widens F32, F16 or BF16 to float, exactly. `out` must have the tensor's size. Other types:
  /// Error(kInput).
  void ReadFloats(const Entry& entry, std::span<float> out) const;
  void ReadFloats(std::string_view name, std::span<float> out) const { ReadFloats(Get(name), out); }

 private:
  void ParseHeader();

  MappedFile file_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// The weights of a folder: model.safetensors, or the shards that model.safetensors.index.json lists.
class SafetensorsFolder {
 public:
  struct Item {
    const SafetensorsFile* file;
    const SafetensorsFile::Entry* entry;
  };
  /// Throws Error(kInput) if a shard is missing or the index and the shards disagree.
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  /// By tensor name.
  const std::map<std::string, Item>& items() const { return items_; }

 private:
  std::map<std::string, SafetensorsFile> files_;
  std::map<std::string, Item> items_;
};

struct NamedFloats {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
};

/// Writes the tensors sorted by name, all as `type` (round to nearest even), with metadata {"format": "pt"}.
/// Streams: needs a few MiB beside the values. The same tensors give the same bytes.
void WriteSafetensors(const std::filesystem::path& path, std::vector<NamedFloats> tensors, FloatType type);

}  // namespace forge::io
