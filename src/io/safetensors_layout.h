// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/float_type.h"

namespace forge::io {

/// A tensor that is to be stored.
struct StoredShape {
  std::string name;
  std::vector<std::int64_t> shape;
  FloatType type;
  std::uint64_t elements() const;
  std::uint64_t bytes() const { return elements() * BytesOf(type); }
};

/// One file of a folder's weights: model.safetensors, or model-00001-of-0000N.safetensors and so on.
struct ShardLayout {
  std::string name;
  std::size_t first = 0, count = 0;  // of the tensors
  std::uint64_t bytes = 0;           // of their values
};

/// Cuts tensors, in their order, into files of at most `max_shard_bytes`. A tensor is never cut, so a larger
/// one has a file of its own. At least one file.
std::vector<ShardLayout> PlanShards(std::span<const StoredShape> tensors, std::uint64_t max_shard_bytes);

/// One tensor of a header: its type is any of the format's.
struct HeaderEntry {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes;
};
/// What a file starts with: u64 length and JSON header, padded so that the values, which follow in the order
/// of the tensors, are aligned to 8 bytes. Metadata {"format": "pt"}.
std::string SafetensorsHeader(std::span<const HeaderEntry> tensors);
std::string SafetensorsHeader(std::span<const StoredShape> tensors);

/// Writes model.safetensors.index.json.
void WriteShardIndex(const std::filesystem::path& folder, std::span<const StoredShape> tensors,
                     std::span<const ShardLayout> shards);

}  // namespace forge::io
