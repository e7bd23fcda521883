// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "io/gguf.h"

namespace forge::io {
namespace {

constexpr std::uint64_t kMaxDimensions = 4;
constexpr std::uint64_t kMaxAlignment = 1 << 20;
// Far above real files (a tokenizer of 256 000 tokens and 580 000 merges has 15 MB of metadata, a model of
// 4096 layers 57 000 tensors), and low enough that a file made to fill memory cannot: every text takes 32
// bytes more.
constexpr std::uint64_t kMaxHeaderBytes = 64 << 20;
constexpr std::uint64_t kMaxTexts = 2 << 20;
constexpr std::uint64_t kMaxKeys = 1 << 16;
constexpr std::uint64_t kMaxTensors = 1 << 17;

[[noreturn]] void Fail(const std::filesystem::path& path, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = std::move(why),
               .fix = "copy or write the file again"});
}

/// Reads the header front to back; never past the end.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file) : bytes_(file.bytes()), path_(file.path()) {}
  /// The bytes [begin, end) of it.
  Cursor(const MappedFile& file, std::uint64_t begin, std::uint64_t end)
      : bytes_(file.bytes().first(end)), path_(file.path()), position_(begin) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return bytes_.size() - position_; }
  [[noreturn]] void FailHere(const std::string& why) const {
    Fail(path_, fmt::format("at offset {}: {}", position_, why));
  }
  std::span<const std::byte> Take(std::uint64_t count, const char* what) {
    if (count > remaining())
      FailHere(fmt::format("{} takes {} bytes, the file has {} left", what, count, remaining()));
    if (position_ + count > kMaxHeaderBytes)
      FailHere(fmt::format("{} reaches beyond {} bytes of metadata, the most that forge reads", what,
                           kMaxHeaderBytes));
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }
  template <class T>
  T Read(const char* what) {
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string ReadText(const char* what) {
    if (++texts_ > kMaxTexts) FailHere(fmt::format("it has more than {} texts", kMaxTexts));
    const auto length = Read<std::uint64_t>(what);
    const auto bytes = Take(length, what);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  template <class T>
  T ReadValue() {
    if constexpr (std::is_same_v<T, std::string>) {
      return ReadText("a text");
    } else if constexpr (std::is_same_v<T, bool>) {
      return Read<std::uint8_t>("a truth value") != 0;
    } else {
      return Read<T>("a number");
    }
  }

 private:
  std::span<const std::byte> bytes_;
  const std::filesystem::path& path_;
  std::uint64_t position_ = 0, texts_ = 0;
};

/// Reads alternative number `type` of GgufArray.
template <std::size_t kType = 0>
GgufArray ReadArrayOf(Cursor& cursor, std::uint32_t type, std::uint64_t count) {
  if constexpr (kType < std::variant_size_v<GgufArray>) {
    if (kType != type) return ReadArrayOf<kType + 1>(cursor, type, count);
    using Vector = std::variant_alternative_t<kType, GgufArray>;
    if constexpr (std::is_same_v<Vector, std::monostate>) {
      cursor.FailHere("an array of arrays, which forge does not know");
    } else {
      using T = typename Vector::value_type;
      constexpr std::uint64_t kLeast = std::is_same_v<T, std::string> ? 8
                                       : std::is_same_v<T, bool>      ? 1
                                                                      : sizeof(T);
      if (count > cursor.remaining() / kLeast)
        cursor.FailHere(
            fmt::format("an array of {} elements in the {} bytes left", count, cursor.remaining()));
      if (count > kMaxHeaderBytes / kLeast)
        cursor.FailHere(
            fmt::format("an array of {} elements; forge reads {} bytes of metadata", count, kMaxHeaderBytes));
      Vector values;
      values.reserve(std::min(count, std::is_same_v<T, std::string> ? kMaxTexts : count));
      for (std::uint64_t i = 0; i < count; ++i) values.push_back(cursor.ReadValue<T>());
      return values;
    }
  } else {
    cursor.FailHere(fmt::format("unknown element type {}", type));
  }
}

/// Reads alternative number `type` of GgufValue.
template <std::size_t kType = 0>
GgufValue ReadValueOf(Cursor& cursor, std::uint32_t type) {
  if constexpr (kType < std::variant_size_v<GgufValue>) {
    if (kType != type) return ReadValueOf<kType + 1>(cursor, type);
    using T = std::variant_alternative_t<kType, GgufValue>;
    if constexpr (std::is_same_v<T, GgufArray>) {
      const auto element_type = cursor.Read<std::uint32_t>("an element type");
      const auto count = cursor.Read<std::uint64_t>("an array length");
      return ReadArrayOf(cursor, element_type, count);
    } else {
      return GgufValue(std::in_place_index<kType>, cursor.ReadValue<T>());
    }
  } else {
    cursor.FailHere(fmt::format("unknown value type {}", type));
  }
}

GgufMetadata ReadKeys(Cursor& cursor, std::uint64_t num_keys) {
  GgufMetadata metadata;
  for (std::uint64_t i = 0; i < num_keys; ++i) {
    std::string key = cursor.ReadText("a key");
    const auto type = cursor.Read<std::uint32_t>("a value type");
    GgufValue value = ReadValueOf(cursor, type);
    if (!metadata.emplace(key, std::move(value)).second)
      cursor.FailHere(fmt::format("key {} occurs twice", key));
  }
  return metadata;
}

void CheckKeys(const Cursor& cursor, std::uint64_t num_keys) {
  if (num_keys > kMaxKeys)
    cursor.FailHere(fmt::format("it claims {} keys; forge reads up to {}", num_keys, kMaxKeys));
}

/// One tensor info; `offset` is from the start of the data.
GgufFile::Entry ReadInfo(Cursor& cursor, std::uint64_t& offset) {
  GgufFile::Entry entry;
  entry.name = cursor.ReadText("a tensor name");
  const auto dimensions = cursor.Read<std::uint32_t>("a number of dimensions");
  if (dimensions > kMaxDimensions)
    cursor.FailHere(fmt::format("tensor {} has {} dimensions", entry.name, dimensions));
  std::uint64_t size = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto length = cursor.Read<std::uint64_t>("a dimension");
    constexpr std::uint64_t kLimit =
        std::numeric_limits<std::int64_t>::max() / 16;  // bytes stay inside int64 too
    if (length > kLimit || (length != 0 && size > kLimit / length))
      cursor.FailHere(fmt::format("the shape of tensor {} is too large", entry.name));
    size *= length;
    entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(length));
  }
  entry.type_id = cursor.Read<std::uint32_t>("a tensor type");
  entry.type = FindBlockType(entry.type_id);
  const std::uint64_t columns = entry.shape.empty() ? 1 : static_cast<std::uint64_t>(entry.shape.back());
  if (entry.type && columns % Info(*entry.type).elements != 0)
    cursor.FailHere(fmt::format("tensor {} has rows of {} elements, which blocks of {} ({}) do not fill",
                                entry.name, columns, Info(*entry.type).elements, Info(*entry.type).name));
  offset = cursor.Read<std::uint64_t>("a tensor offset");
  return entry;
}

}  // namespace

GgufMetadata DecodeGgufMetadata(const MappedFile& file, std::uint64_t begin, std::uint64_t end) {
  FORGE_CHECK(begin <= end && end <= file.bytes().size());
  Cursor cursor(file, begin, end);
  const auto num_keys = cursor.Read<std::uint64_t>("the number of keys");
  CheckKeys(cursor, num_keys);
  GgufMetadata metadata = ReadKeys(cursor, num_keys);
  if (cursor.remaining() != 0)
    cursor.FailHere(
        fmt::format("{} bytes lie between the last key and the end of the metadata", cursor.remaining()));
  return metadata;
}

std::size_t GgufFile::Entry::size() const {
  std::size_t size = 1;
  for (const std::int64_t length : shape) size *= static_cast<std::size_t>(length);
  return size;
}

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) {
  Cursor cursor(file_);
  const auto magic = cursor.Take(4, "the word GGUF");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) Fail(path, "it does not begin with GGUF");
  const auto version = cursor.Read<std::uint32_t>("the version");
  if (version != 2 && version != 3)
    Fail(path, fmt::format("it has version {}; forge reads 2 and 3", version));
  const auto num_tensors = cursor.Read<std::uint64_t>("the number of tensors");
  const auto num_keys = cursor.Read<std::uint64_t>("the number of keys");
  CheckKeys(cursor, num_keys);
  if (num_tensors > kMaxTensors)
    cursor.FailHere(fmt::format("it claims {} tensors; forge reads up to {}", num_tensors, kMaxTensors));
  metadata_ = ReadKeys(cursor, num_keys);
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t i = 0; i < num_tensors; ++i) {
    entries_.push_back(ReadInfo(cursor, offsets.emplace_back()));
    if (!index_.emplace(entries_.back().name, i).second)
      cursor.FailHere(fmt::format("tensor {} occurs twice", entries_.back().name));
  }
  PlaceTensors(cursor.position(), offsets);
  Release(file_.bytes().first(cursor.position()));
}

void GgufFile::PlaceTensors(std::uint64_t header_end, const std::vector<std::uint64_t>& offsets) {
  const auto alignment = static_cast<std::uint64_t>(FindInteger(metadata_, "general.alignment").value_or(32));
  if (alignment == 0 || alignment > kMaxAlignment || (alignment & (alignment - 1)) != 0)
    Fail(path(),
         fmt::format("general.alignment {} is not a power of two up to {}", alignment, kMaxAlignment));
  const std::uint64_t start = (header_end + alignment - 1) / alignment * alignment;
  const std::uint64_t data_bytes = start > file_.bytes().size() ? 0 : file_.bytes().size() - start;
  std::vector<const Entry*> order;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!entry.type || entry.size() == 0) continue;
    const std::uint64_t bytes = entry.size() / Info(*entry.type).elements * Info(*entry.type).bytes;
    if (offsets[i] % alignment != 0)
      Fail(path(), fmt::format("tensor {}: its offset {} is not a multiple of {}", entry.name, offsets[i],
                               alignment));
    if (offsets[i] > data_bytes || bytes > data_bytes - offsets[i])
      Fail(path(), fmt::format("tensor {}: {} bytes at data offset {} are beyond the {} bytes of data, which "
                               "begin at offset {} of the file",
                               entry.name, bytes, offsets[i], data_bytes, start));
    entry.bytes = file_.bytes().subspan(start + offsets[i], bytes);
    order.push_back(&entry);
  }
  std::sort(order.begin(), order.end(),
            [](const Entry* a, const Entry* b) { return a->bytes.data() < b->bytes.data(); });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->bytes.data() + order[i - 1]->bytes.size() > order[i]->bytes.data())
      Fail(path(), fmt::format("tensors {} and {} overlap at offset {} of the file", order[i - 1]->name,
                               order[i]->name, order[i]->bytes.data() - file_.bytes().data()));
}

const GgufFile::Entry* GgufFile::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void GgufFile::ReadFloats(const Entry& entry, std::span<float> out) const {
  if (out.size() != entry.size())
    Fail(path(), fmt::format("tensor {} has {} elements, not {}", entry.name, entry.size(), out.size()));
  ReadFloats(entry, 0, out);
}

std::span<const std::byte> GgufFile::BytesOf(const Entry& entry, std::size_t first, std::size_t count) {
  const BlockInfo& info = Info(*entry.type);
  FORGE_CHECK(first % info.elements == 0 && count % info.elements == 0);
  return entry.bytes.subspan(first / info.elements * info.bytes, count / info.elements * info.bytes);
}

void GgufFile::ReadFloats(const Entry& entry, std::size_t first, std::span<float> out) const {
  if (!entry.type)
    Fail(path(), fmt::format("tensor {} has the block type {}; forge reads {}", entry.name,
                             BlockTypeName(entry.type_id), BlockTypeNames()));
  FORGE_CHECK(first <= entry.size() && out.size() <= entry.size() - first);
  if (out.empty()) return;
  const BlockInfo& info = Info(*entry.type);
  const auto bytes = BytesOf(entry, first, out.size());
  ParallelFor(out.size() / info.elements, (1 << 16) / info.elements, [&](std::size_t begin, std::size_t end) {
    DecodeBlocks(*entry.type, bytes.subspan(begin * info.bytes, (end - begin) * info.bytes),
                 out.subspan(begin * info.elements, (end - begin) * info.elements));
  });
}

}  // namespace forge::io
