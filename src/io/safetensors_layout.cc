// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_layout.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"
#include "io/json_file.h"

namespace forge::io {

std::uint64_t StoredShape::elements() const {
  std::uint64_t size = 1;
  for (const std::int64_t length : shape) size *= static_cast<std::uint64_t>(length);
  return size;
}

std::vector<ShardLayout> PlanShards(std::span<const StoredShape> tensors, std::uint64_t max_shard_bytes) {
  std::vector<ShardLayout> shards;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool fits = !shards.empty() && shards.back().bytes + tensors[i].bytes() <= max_shard_bytes;
    if (!fits) shards.push_back({.name = "", .first = i});
    shards.back().count += 1;
    shards.back().bytes += tensors[i].bytes();
  }
  if (shards.empty()) shards.push_back({});
  for (std::size_t i = 0; i < shards.size(); ++i)
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

std::string SafetensorsHeader(std::span<const StoredShape> tensors) {
  std::vector<HeaderEntry> entries;
  for (const StoredShape& tensor : tensors)
    entries.push_back({tensor.name, std::string(Name(tensor.type)), tensor.shape, tensor.bytes()});
  return SafetensorsHeader(entries);
}

std::string SafetensorsHeader(std::span<const HeaderEntry> tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t offset = 0;
  for (const HeaderEntry& tensor : tensors) {
    FORGE_CHECK(!header.contains(tensor.name));
    const std::uint64_t end = offset + tensor.bytes;
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::string prefix(sizeof length, '\0');
  std::memcpy(prefix.data(), &length, sizeof length);
  return prefix + text;
}

void WriteShardIndex(const std::filesystem::path& folder, std::span<const StoredShape> tensors,
                     std::span<const ShardLayout> shards) {
  Json map = Json::object();
  std::uint64_t bytes = 0;
  for (const ShardLayout& shard : shards) {
    bytes += shard.bytes;
    for (const StoredShape& tensor : tensors.subspan(shard.first, shard.count)) map[tensor.name] = shard.name;
  }
  WriteJsonFile(folder / "model.safetensors.index.json",
                {{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(map)}});
}

}  // namespace forge::io
