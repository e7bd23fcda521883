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

/// One safetensors file, mapped: u64 header length | JSON header | data
/// (https://github.com/huggingface/safetensors).
///
/// The header must describe the data exactly: every byte of it in one tensor, no tensor twice, each as long
/// as its shape says. Anything else is Error(kInput) with the file, the tensor and the offset. A header is at
/// most 32 MiB (the format allows 100 MB; 100 000 tensors take 15 MB). Opening reads the header only.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    std::string
        dtype;  // "F32", "F16", "BF16", "F64", or another type of the format, which only `bytes` can read
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

  /// The elements [first, first + out.size()) as float: F32, F16 and BF16 exactly, F64 rounded to the nearest
  /// float (beyond its range: infinity). Throws Error(kInput) for other types: integers and 8-bit floats are
  /// codes of a quantizer whose scales forge does not know.
  void ReadFloats(const Entry& entry, std::size_t first, std::span<float> out) const;
  /// All of them; `out` must have the tensor's size.
  void ReadFloats(const Entry& entry, std::span<float> out) const;
  void ReadFloats(std::string_view name, std::span<float> out) const { ReadFloats(Get(name), out); }

  /// As MappedFile::Copy.
  void Copy(std::span<const std::byte> bytes, std::byte* out) const { file_.Copy(bytes, out); }
  /// Lets go of the memory that reading these bytes took; they can be read again.
  void Release(std::span<const std::byte> bytes) const { file_.Release(bytes); }

 private:
  void CheckThatTensorsFillTheData(std::span<const std::byte> data, std::uint64_t data_start) const;

  MappedFile file_;
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace forge::io
