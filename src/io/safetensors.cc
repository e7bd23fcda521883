// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "io/float_arrays.h"
#include "io/safetensors_header.h"

namespace forge::io {
namespace {

constexpr std::size_t kPrefixBytes = 8;              // the header length, u64
constexpr std::uint64_t kMaxHeaderBytes = 32 << 20;  // bounds memory and time for a file that lies
constexpr std::size_t kGrain = 1 << 16;              // elements per piece of work

[[noreturn]] void Fail(const std::filesystem::path& path, std::string why,
                       std::string fix = "copy or write the safetensors file again") {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = std::move(why),
               .fix = std::move(fix)});
}

void NarrowDoubles(std::span<const std::byte> bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    double stored;
    std::memcpy(&stored, bytes.data() + sizeof stored * i, sizeof stored);
    out[i] = static_cast<float>(stored);
  }
}

std::optional<FloatType> FloatTypeOf(std::string_view dtype) {
  for (const FloatType type : {FloatType::kF32, FloatType::kF16, FloatType::kBF16})
    if (dtype == Name(type)) return type;
  return std::nullopt;
}

}  // namespace

std::size_t SafetensorsFile::Entry::size() const {
  std::size_t size = 1;
  for (const std::int64_t length : shape) size *= static_cast<std::size_t>(length);
  return size;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : file_(file) {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kPrefixBytes)
    Fail(path(), fmt::format("at offset 0: the header length takes {} bytes, the file has {}", kPrefixBytes,
                             bytes.size()));
  std::uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), kPrefixBytes);
  if (header_bytes > bytes.size() - kPrefixBytes)
    Fail(path(), fmt::format("at offset 0 it claims a header of {} bytes, the file has {} after it",
                             header_bytes, bytes.size() - kPrefixBytes));
  if (header_bytes > kMaxHeaderBytes)
    Fail(path(), fmt::format("at offset 0 it claims a header of {} bytes; forge reads up to {}", header_bytes,
                             kMaxHeaderBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, header_bytes);
  SafetensorsHeader header = ParseSafetensorsHeader(text, kPrefixBytes, path());
  metadata_ = std::move(header.metadata);
  const std::uint64_t data_start = kPrefixBytes + header_bytes;
  const std::span<const std::byte> data = bytes.subspan(data_start);
  for (SafetensorsHeader::Tensor& tensor : header.tensors) {
    if (tensor.end > data.size())
      Fail(path(),
           fmt::format("tensor {}: its bytes {} to {} are beyond the {} bytes of data, which begin at "
                       "offset {} of the file",
                       tensor.name, tensor.begin, tensor.end, data.size(), data_start));
    entries_.push_back({std::move(tensor.name), std::move(tensor.dtype), std::move(tensor.shape),
                        data.subspan(tensor.begin, tensor.end - tensor.begin)});
  }
  CheckThatTensorsFillTheData(data, data_start);
  Release(bytes.first(data_start));
}

void SafetensorsFile::CheckThatTensorsFillTheData(std::span<const std::byte> data,
                                                  std::uint64_t data_start) const {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  // By where they begin, then end: an empty tensor may lie where another begins.
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->bytes.data(), a->bytes.size()) < std::pair(b->bytes.data(), b->bytes.size());
  });
  std::uint64_t position = 0;
  std::string_view last = "the header";
  for (const Entry* entry : order) {
    const auto begin = static_cast<std::uint64_t>(entry->bytes.data() - data.data());
    if (begin < position)
      Fail(path(), fmt::format("tensors {} and {} overlap at data offset {}, offset {} of the file", last,
                               entry->name, begin, data_start + begin));
    if (begin > position)
      Fail(path(), fmt::format("data offsets {} to {} belong to no tensor", position, begin));
    position = begin + entry->bytes.size();
    last = entry->name;
  }
  if (position != data.size())
    Fail(path(), fmt::format("data offsets {} to {} belong to no tensor", position, data.size()));
}

const SafetensorsFile::Entry* SafetensorsFile::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& entry, std::string_view key) { return entry.name < key; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

const SafetensorsFile::Entry& SafetensorsFile::Get(std::string_view name) const {
  if (const Entry* entry = Find(name)) return *entry;
  Fail(path(), fmt::format("it has no tensor \"{}\"", name));
}

void SafetensorsFile::ReadFloats(const Entry& entry, std::span<float> out) const {
  if (out.size() != entry.size())
    Fail(path(), fmt::format("tensor {} has {} elements, not {}", entry.name, entry.size(), out.size()));
  ReadFloats(entry, 0, out);
}

void SafetensorsFile::ReadFloats(const Entry& entry, std::size_t first, std::span<float> out) const {
  FORGE_CHECK(first <= entry.size() && out.size() <= entry.size() - first);
  if (out.empty()) return;
  const std::size_t element_bytes = entry.bytes.size() / entry.size();
  const auto bytes = entry.bytes.subspan(first * element_bytes, out.size() * element_bytes);
  const std::optional<FloatType> type = FloatTypeOf(entry.dtype);
  if (!type && entry.dtype != "F64")
    Fail(path(),
         fmt::format("tensor {} is stored as {}; forge reads weights stored as F32, F16, BF16 or F64",
                     entry.name, entry.dtype),
         "get the float version of this model, not the quantized one");
  ParallelFor(out.size(), kGrain, [&](std::size_t begin, std::size_t end) {
    const auto part = bytes.subspan(begin * element_bytes, (end - begin) * element_bytes);
    if (type)
      WidenFloats(part, *type, out.subspan(begin, end - begin));
    else
      NarrowDoubles(part, out.subspan(begin, end - begin));
  });
}

}  // namespace forge::io
