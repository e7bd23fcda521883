// SPDX-License-Identifier: Apache-2.0
#include "io/parallel_safetensors_writer.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "io/float_arrays.h"
#include "io/stream_bytes.h"

namespace forge::io {
namespace {

/// Rounds to the type, a few values a time, into a buffer that the disk is given.
void NarrowForDisk(std::span<const float> values, FloatType type, std::byte* to) {
  constexpr std::size_t kValues = 2048;
  std::array<std::byte, kValues * sizeof(float)> narrowed;  // in the first cache
  for (std::size_t at = 0; at < values.size(); at += kValues) {
    const std::size_t count = std::min(kValues, values.size() - at);
    NarrowFloats(values.subspan(at, count), type, narrowed.data());
    StreamBytes(to + at * BytesOf(type), narrowed.data(), count * BytesOf(type));
  }
}

}  // namespace

ParallelSafetensorsWriter::ParallelSafetensorsWriter(std::filesystem::path folder,
                                                     std::vector<StoredShape> tensors,
                                                     std::uint64_t max_shard_bytes)
    : folder_(std::move(folder)),
      tensors_(std::move(tensors)),
      shards_(PlanShards(tensors_, max_shard_bytes)) {
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    const auto part = std::span(tensors_).subspan(shards_[s].first, shards_[s].count);
    const std::string header = SafetensorsHeader(part);
    std::uint64_t offset = header.size();
    for (const StoredShape& tensor : part) {
      places_.push_back({s, offset});
      offset += tensor.bytes();
    }
    files_.emplace_back(folder_ / shards_[s].name, offset).WriteAt(0, std::as_bytes(std::span(header)));
    bytes_ += offset;
  }
}

void ParallelSafetensorsWriter::Write(std::size_t tensor, std::size_t first, std::span<const float> values) {
  const StoredShape& shape = tensors_[tensor];
  FORGE_CHECK(first <= shape.elements() && values.size() <= shape.elements() - first);
  const Place& place = places_[tensor];
  const std::size_t element = BytesOf(shape.type);
  const std::uint64_t offset = place.offset + first * element;
  ParallelFile& file = files_[place.shard];
  if (place.offset % element == 0)  // no element lies in two blocks
    return file.FillAt(offset, values.size() * element,
                       [&](std::byte* to, std::size_t from, std::size_t count) {
                         NarrowForDisk(values.subspan(from / element, count / element), shape.type, to);
                       });
  thread_local std::vector<std::byte> bytes;
  bytes.resize(values.size() * element);
  NarrowFloats(values, shape.type, bytes.data());
  file.WriteAt(offset, bytes);
}

void ParallelSafetensorsWriter::Finish() {
  for (ParallelFile& file : files_) file.Commit();
  if (shards_.size() > 1) WriteShardIndex(folder_, tensors_, shards_);
}

}  // namespace forge::io
