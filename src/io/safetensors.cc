// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "io/atomic_file.h"
#include "io/json_file.h"

namespace forge::io {
namespace {

constexpr std::size_t kPrefixBytes = 8;                 // the header length, u64
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format
constexpr std::size_t kGrain = 1 << 16;                 // elements per piece of work

[[noreturn]] void Fail(const std::filesystem::path& path, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read " + path.string(),
               .why = std::move(why),
               .fix = "copy or write the safetensors file again"});
}

std::optional<std::uint64_t> BytesPerElement(std::string_view dtype) {
  static const std::map<std::string_view, std::uint64_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? std::nullopt : std::optional(found->second);
}

/// Like ParseJson, but a name that occurs twice in the outer object is an error: a plain parser keeps the
/// last.
Json ParseHeaderJson(std::string_view text, const std::filesystem::path& path) {
  std::set<std::string> names;
  const auto callback = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second)
      Fail(path, fmt::format("the header names \"{}\" twice", value.get<std::string>()));
    return true;
  };
  try {
    return Json::parse(text, callback);
  } catch (const Json::exception& error) {
    Fail(path, fmt::format("the header, bytes {} to {}, is not JSON: {}", kPrefixBytes,
                           kPrefixBytes + text.size(), error.what()));
  }
}

/// The offsets [begin, end) that an entry claims; also fills name, dtype and shape.
std::pair<std::uint64_t, std::uint64_t> ParseEntry(const std::string& name, const Json& value,
                                                   const std::filesystem::path& path,
                                                   SafetensorsFile::Entry& entry) {
  const auto fail = [&](const std::string& why) { Fail(path, fmt::format("tensor {}: {}", name, why)); };
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2)
    fail("its header entry must have dtype, shape and two data_offsets");
  entry.name = name;
  entry.dtype = value["dtype"].get<std::string>();
  const std::optional<std::uint64_t> element_bytes = BytesPerElement(entry.dtype);
  if (!element_bytes) fail(fmt::format("unknown dtype \"{}\"", entry.dtype));
  std::uint64_t size = *element_bytes;
  for (const Json& dimension : value["shape"]) {
    constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
    if (!dimension.is_number_unsigned()) fail("its shape holds something else than numbers from 0");
    const auto length = dimension.get<std::uint64_t>();
    if (length > kLimit || (length != 0 && size > kLimit / length))
      fail("the product of its shape is too large");
    size *= length;
    entry.shape.push_back(static_cast<std::int64_t>(length));
  }
  const Json& offsets = value["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    fail("data_offsets must be numbers from 0");
  const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
  if (begin > end) fail(fmt::format("data_offsets {} to {} run backwards", begin, end));
  if (end - begin != size)
    fail(fmt::format("{} [{}] takes {} bytes, data_offsets {} to {} give {}", entry.dtype,
                     fmt::join(entry.shape, ", "), size, begin, end, end - begin));
  return {begin, end};
}

void Widen(std::span<const std::byte> bytes, std::span<float> out, float (*convert)(std::uint16_t)) {
  ParallelFor(out.size(), kGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, bytes.data() + 2 * i, 2);
      out[i] = convert(bits);
    }
  });
}

void WriteValues(AtomicFile& file, std::span<const float> values, FloatType type) {
  if (type == FloatType::kF32) return file.Write(std::as_bytes(values));
  constexpr std::size_t kChunk = 1 << 20;
  std::vector<std::uint16_t> chunk;
  for (; !values.empty(); values = values.subspan(chunk.size())) {
    chunk.resize(std::min(kChunk, values.size()));
    ParallelFor(chunk.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        chunk[i] = type == FloatType::kF16 ? FloatToHalf(values[i]) : FloatToBFloat16(values[i]);
    });
    file.Write(std::as_bytes(std::span(chunk)));
  }
}

}  // namespace

std::string_view Name(FloatType type) {
  return type == FloatType::kF32 ? "F32" : type == FloatType::kF16 ? "F16" : "BF16";
}

std::string_view LongName(FloatType type) {
  return type == FloatType::kF32 ? "float32" : type == FloatType::kF16 ? "float16" : "bfloat16";
}

FloatType ParseFloatType(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower == "f32" || lower == "float32") return FloatType::kF32;
  if (lower == "f16" || lower == "float16") return FloatType::kF16;
  if (lower == "bf16" || lower == "bfloat16") return FloatType::kBF16;
  throw Error({.kind = ErrorKind::kUsage,
               .what = fmt::format("unknown number type \"{}\"", name),
               .why = "weights are stored as float32, float16 or bfloat16",
               .fix = "use one of these three words"});
}

std::size_t SafetensorsFile::Entry::size() const {
  std::size_t size = 1;
  for (const std::int64_t length : shape) size *= static_cast<std::size_t>(length);
  return size;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) { ParseHeader(); }

void SafetensorsFile::ParseHeader() {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kPrefixBytes)
    Fail(path(),
         fmt::format("it has {} bytes; the header length alone takes {}", bytes.size(), kPrefixBytes));
  std::uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), kPrefixBytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - kPrefixBytes)
    Fail(path(), fmt::format("at offset 0 it claims a header of {} bytes, the file has {} after it",
                             header_bytes, bytes.size() - kPrefixBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, header_bytes);
  const Json header = ParseHeaderJson(text, path());
  if (!header.is_object()) Fail(path(), "the header must be a JSON object");

  const std::span<const std::byte> data = bytes.subspan(kPrefixBytes + header_bytes);
  std::vector<std::pair<std::uint64_t, std::uint64_t>>
      ranges;  // of entries_, which are sorted by name like the JSON
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) Fail(path(), "__metadata__ must be an object");
      for (const auto& [key, text_value] : value.items()) {
        if (!text_value.is_string()) Fail(path(), fmt::format("__metadata__ \"{}\" must be a string", key));
        metadata_[key] = text_value.get<std::string>();
      }
      continue;
    }
    const auto [begin, end] = ParseEntry(name, value, path(), entries_.emplace_back());
    if (end > data.size())
      Fail(path(), fmt::format("tensor {}: its bytes {} to {} are beyond the {} bytes of data", name, begin,
                               end, data.size()));
    entries_.back().bytes = data.subspan(begin, end - begin);
    ranges.emplace_back(begin, end);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t position = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin < position) Fail(path(), fmt::format("two tensors overlap at data offset {}", begin));
    if (begin > position)
      Fail(path(), fmt::format("data offsets {} to {} belong to no tensor", position, begin));
    position = end;
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
  if (entry.dtype == "F32") {
    if (!out.empty()) std::memcpy(out.data(), entry.bytes.data(), entry.bytes.size());
  } else if (entry.dtype == "F16") {
    Widen(entry.bytes, out, HalfToFloat);
  } else if (entry.dtype == "BF16") {
    Widen(entry.bytes, out, BFloat16ToFloat);
  } else {
    Fail(path(), fmt::format("tensor {} is {}; weights must be F32, F16 or BF16", entry.name, entry.dtype));
  }
}

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (!fs::exists(single) && !fs::exists(index))
    throw Error(
        {.kind = ErrorKind::kInput,
         .what = "cannot read the model " + folder.string(),
         .why = "it has neither model.safetensors nor model.safetensors.index.json",
         .fix = "give a folder in the Hugging Face layout; convert .bin checkpoints to safetensors first"});
  if (fs::exists(single)) {
    files_.emplace(single.filename(), SafetensorsFile(single));
  } else {
    const Json json = ReadJsonFile(index);
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
      Fail(index, "it has no object \"weight_map\"");
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      if (!file.is_string()) Fail(index, fmt::format("the file of tensor {} must be a string", tensor));
      const auto name = file.get<std::string>();
      if (name.empty() || fs::path(name).filename() != name || name == "." || name == "..")
        Fail(index, fmt::format("\"{}\" is not a file name in this folder", name));
      if (!files_.contains(name)) files_.emplace(name, SafetensorsFile(folder / name));
      if (files_.at(name).Find(tensor) == nullptr)
        Fail(index, fmt::format("{} has no tensor {}", name, tensor));
    }
  }
  for (const auto& [name, file] : files_)
    for (const SafetensorsFile::Entry& entry : file.entries())
      if (!items_.emplace(entry.name, Item{&file, &entry}).second)
        Fail(folder / name, fmt::format("tensor {} is in another shard too", entry.name));
}

void WriteSafetensors(const std::filesystem::path& path, std::vector<NamedFloats> tensors, FloatType type) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  const std::uint64_t element_bytes = *BytesPerElement(Name(type));
  std::uint64_t offset = 0;
  for (const NamedFloats& tensor : tensors) {
    std::uint64_t size = 1;
    for (const std::int64_t length : tensor.shape) size *= static_cast<std::uint64_t>(length);
    FORGE_CHECK(size == tensor.values.size() && !header.contains(tensor.name));
    const std::uint64_t end = offset + size * element_bytes;
    header[tensor.name] = {{"dtype", Name(type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned to 8 bytes
  const std::uint64_t header_bytes = text.size();
  AtomicFile file(path);
  file.Write(std::as_bytes(std::span(&header_bytes, 1)));
  file.Write(text);
  for (const NamedFloats& tensor : tensors) WriteValues(file, tensor.values, type);
  file.Commit();
}

}  // namespace forge::io
