// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_writer.h"

#include <algorithm>

#include "base/check.h"
#include "base/thread_pool.h"
#include "io/float_arrays.h"

namespace forge::io {
namespace {

constexpr std::size_t kGrain = 1 << 16;  // elements per piece of work

std::vector<StoredShape> AllAs(FloatType type, std::vector<TensorShape> tensors) {
  std::vector<StoredShape> stored;
  for (TensorShape& tensor : tensors)
    stored.push_back({std::move(tensor.name), std::move(tensor.shape), type});
  return stored;
}

void WriteValues(AtomicFile& file, std::span<const float> values, FloatType type) {
  if (type == FloatType::kF32) return file.Write(std::as_bytes(values));
  constexpr std::size_t kChunk = 1 << 20;
  std::vector<std::byte> chunk;
  for (; !values.empty(); values = values.subspan(std::min(kChunk, values.size()))) {
    const std::size_t size = std::min(kChunk, values.size());
    chunk.resize(size * BytesOf(type));
    ParallelFor(size, kGrain, [&](std::size_t begin, std::size_t end) {
      NarrowFloats(values.subspan(begin, end - begin), type, chunk.data() + begin * BytesOf(type));
    });
    file.Write(chunk);
  }
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path folder, std::vector<TensorShape> tensors,
                                     FloatType type, std::uint64_t max_shard_bytes)
    : folder_(std::move(folder)), tensors_(AllAs(type, std::move(tensors))), type_(type) {
  FORGE_CHECK(max_shard_bytes > 0);
  shards_ = PlanShards(tensors_, max_shard_bytes);
  OpenShard();
}

/// Opens shard `current_`; closes shards that have no elements.
void SafetensorsWriter::OpenShard() {
  for (; current_ < shards_.size(); CloseShard()) {
    const ShardLayout& shard = shards_[current_];
    remaining_ = shard.bytes / BytesOf(type_);
    file_.emplace(folder_ / shard.name);
    file_->Write(SafetensorsHeader(std::span(tensors_).subspan(shard.first, shard.count)));
    if (remaining_ > 0) return;
  }
}

void SafetensorsWriter::CloseShard() {
  file_->Commit();
  file_.reset();
  ++current_;
}

void SafetensorsWriter::Write(std::span<const float> values) {
  while (!values.empty()) {
    FORGE_CHECK(current_ < shards_.size());
    const auto part = values.first(std::min<std::uint64_t>(values.size(), remaining_));
    WriteValues(*file_, part, type_);
    values = values.subspan(part.size());
    remaining_ -= part.size();
    if (remaining_ > 0) continue;
    CloseShard();
    OpenShard();
  }
}

void SafetensorsWriter::Finish() {
  FORGE_CHECK(current_ == shards_.size());
  if (shards_.size() > 1) WriteShardIndex(folder_, tensors_, shards_);
}

RawTensor ToRaw(std::string name, std::vector<std::int64_t> shape, std::span<const float> values,
                FloatType type) {
  RawTensor tensor{std::move(name), std::string(Name(type)), std::move(shape), {}};
  tensor.bytes.resize(values.size() * BytesOf(type));
  NarrowFloats(values, type, tensor.bytes.data());
  return tensor;
}

void WriteRawSafetensors(const std::filesystem::path& path, std::vector<RawTensor> tensors) {
  const auto width = [](const RawTensor& tensor) {
    std::size_t elements = 1;
    for (const std::int64_t length : tensor.shape) elements *= static_cast<std::size_t>(length);
    return tensor.bytes.size() / std::max<std::size_t>(1, elements);
  };
  std::sort(tensors.begin(), tensors.end(), [&](const RawTensor& a, const RawTensor& b) {
    return width(a) != width(b) ? width(a) > width(b) : a.name < b.name;
  });
  std::vector<HeaderEntry> entries;
  for (const RawTensor& tensor : tensors)
    entries.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size()});
  AtomicFile file(path);
  file.Write(SafetensorsHeader(entries));
  for (const RawTensor& tensor : tensors) file.Write(tensor.bytes);
  file.Commit();
}

void WriteSafetensors(const std::filesystem::path& path, std::vector<NamedFloats> tensors, FloatType type) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<StoredShape> shapes;
  for (const NamedFloats& tensor : tensors) {
    shapes.push_back({tensor.name, tensor.shape, type});
    FORGE_CHECK(shapes.back().elements() == tensor.values.size());
  }
  AtomicFile file(path);
  file.Write(SafetensorsHeader(shapes));
  for (const NamedFloats& tensor : tensors) WriteValues(file, tensor.values, type);
  file.Commit();
}

}  // namespace forge::io
