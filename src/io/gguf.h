// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/atomic_file.h"
#include "io/gguf_blocks.h"
#include "io/mapped_file.h"

namespace forge::io {

/// An array of metadata; the position in the list is the number of the element type in the file. No arrays of
/// arrays.
using GgufArray =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<float>, std::vector<bool>, std::vector<std::string>, std::monostate,
                 std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;
/// A value of metadata; the position in the list is the number of the type in the file.
using GgufValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string, GgufArray, std::uint64_t, std::int64_t, double>;
using GgufMetadata = std::map<std::string, GgufValue>;

/// Typed look-ups; nothing if the key is absent or holds another kind of value.
std::optional<std::int64_t> FindInteger(const GgufMetadata& metadata,
                                        const std::string& key);                         // any integer type
std::optional<double> FindNumber(const GgufMetadata& metadata, const std::string& key);  // or float, double
std::optional<bool> FindBool(const GgufMetadata& metadata, const std::string& key);
const std::string* FindText(const GgufMetadata& metadata, const std::string& key);
const std::vector<std::string>* FindTexts(const GgufMetadata& metadata, const std::string& key);
std::optional<std::vector<std::int64_t>> FindIntegers(const GgufMetadata& metadata, const std::string& key);

/// Keys outside of a GGUF file, in its encoding: u64 number of keys, then each key and value as in the file.
std::string EncodeGgufMetadata(const GgufMetadata& metadata);
/// Reads them from the bytes [begin, end) of a file, which they must fill; throws as GgufFile does, with
/// GgufFile's limits.
GgufMetadata DecodeGgufMetadata(const MappedFile& file, std::uint64_t begin, std::uint64_t end);

/// A GGUF file, version 2 or 3, mapped (format: ggml docs/gguf.md):
///   "GGUF" | u32 version | u64 tensors | u64 keys | keys | tensor infos | padding | data
/// Every length and offset is checked against the file, and tensors must not overlap. Errors are
/// Error(kInput) with the file, the offset and what was expected there. Tensors of types that forge does not
/// know are listed, but cannot be read. At most 64 MiB of metadata with 2 million texts, 65536 keys and
/// 131072 tensors.
class GgufFile {
 public:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;  // row-major as everywhere in forge: [out, in]; the file has it reversed
    std::uint32_t type_id = 0;
    std::optional<BlockType> type;     // nothing: a type that forge does not know
    std::span<const std::byte> bytes;  // empty for an unknown type
    std::size_t size() const;          // elements
  };

  explicit GgufFile(const std::filesystem::path& path);

  const GgufMetadata& metadata() const { return metadata_; }
  /// In the order of the file.
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* Find(std::string_view name) const;
  const std::filesystem::path& path() const { return file_.path(); }

  /// The values [first, first + out.size()) as float, both multiples of the type's block. Throws
  /// Error(kInput) for an unknown type, naming it.
  void ReadFloats(const Entry& entry, std::size_t first, std::span<float> out) const;
  /// All of them; `out` must have the tensor's size.
  void ReadFloats(const Entry& entry, std::span<float> out) const;
  /// Where the values [first, first + count) lie in the file; multiples of the type's block.
  static std::span<const std::byte> BytesOf(const Entry& entry, std::size_t first, std::size_t count);
  /// Lets go of the memory that reading these bytes took; they can be read again.
  void Release(std::span<const std::byte> bytes) const { file_.Release(bytes); }

 private:
  void PlaceTensors(std::uint64_t header_end, const std::vector<std::uint64_t>& offsets);

  MappedFile file_;
  GgufMetadata metadata_;
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Writes a GGUF file of version 3 in one pass: first all tensors are declared, then their bytes follow in
/// the same order, in pieces of any size. Alignment 32; the file appears under its name only with Finish.
class GgufWriter {
 public:
  struct Declaration {
    std::string name;                 // at most 63 bytes
    std::vector<std::int64_t> shape;  // [out, in]
    BlockType type;
  };
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
             std::vector<Declaration> tensors);

  /// The next bytes of the tensor data; padding between tensors is written here, not given.
  void Write(std::span<const std::byte> bytes);
  /// All bytes of all tensors must have been written.
  void Finish();

  static std::uint64_t TensorBytes(const Declaration& tensor);

 private:
  void StartTensor();

  AtomicFile file_;
  std::vector<Declaration> tensors_;
  std::size_t current_ = 0;
  std::uint64_t remaining_ = 0;  // bytes of tensor `current_` still to come
};

}  // namespace forge::io
