// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::io {
namespace {

constexpr std::size_t kGrain = 1 << 16;  // elements per piece of work

std::uint64_t ElementsOf(const TensorShape& tensor) {
  std::uint64_t size = 1;
  for (const std::int64_t length : tensor.shape) size *= static_cast<std::uint64_t>(length);
  return size;
}

void WriteHeader(AtomicFile& file, std::span<const TensorShape> tensors, FloatType type) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t offset = 0;
  for (const TensorShape& tensor : tensors) {
    FORGE_CHECK(!header.contains(tensor.name));
    const std::uint64_t end = offset + ElementsOf(tensor) * BytesOf(type);
    header[tensor.name] = {{"dtype", Name(type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data are aligned to 8 bytes
  const std::uint64_t header_bytes = text.size();
  file.Write(std::as_bytes(std::span(&header_bytes, 1)));
  file.Write(text);
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

SafetensorsWriter::SafetensorsWriter(std::filesystem::path folder, std::vector<TensorShape> tensors,
                                     FloatType type, std::uint64_t max_shard_bytes)
    : folder_(std::move(folder)), tensors_(std::move(tensors)), type_(type) {
  FORGE_CHECK(max_shard_bytes > 0);
  PlanShards(max_shard_bytes);
  OpenShard();
}

void SafetensorsWriter::PlanShards(std::uint64_t max_shard_bytes) {
  const std::uint64_t max_elements = max_shard_bytes / BytesOf(type_);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::uint64_t size = ElementsOf(tensors_[i]);
    const bool fits = !shards_.empty() && shards_.back().elements + size <= max_elements;
    if (!fits) shards_.push_back({.name = "", .first = i, .count = 0});
    shards_.back().count += 1;
    shards_.back().elements += size;
  }
  if (shards_.empty()) shards_.push_back({.name = "", .first = 0, .count = 0});
  for (std::size_t i = 0; i < shards_.size(); ++i)
    shards_[i].name = shards_.size() == 1
                          ? "model.safetensors"
                          : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
}

/// Opens shard `current_`; closes shards that have no elements.
void SafetensorsWriter::OpenShard() {
  for (; current_ < shards_.size(); CloseShard()) {
    const Shard& shard = shards_[current_];
    remaining_ = shard.elements;
    file_.emplace(folder_ / shard.name);
    WriteHeader(*file_, std::span(tensors_).subspan(shard.first, shard.count), type_);
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
  if (shards_.size() > 1) WriteIndex();
}

void SafetensorsWriter::WriteIndex() const {
  Json map = Json::object();
  std::uint64_t bytes = 0;
  for (const Shard& shard : shards_) {
    bytes += shard.elements * BytesOf(type_);
    for (std::size_t i = 0; i < shard.count; ++i) map[tensors_[shard.first + i].name] = shard.name;
  }
  WriteJsonFile(folder_ / "model.safetensors.index.json",
                {{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(map)}});
}

void WriteSafetensors(const std::filesystem::path& path, std::vector<NamedFloats> tensors, FloatType type) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<TensorShape> shapes;
  for (const NamedFloats& tensor : tensors) {
    shapes.push_back({tensor.name, tensor.shape});
    FORGE_CHECK(ElementsOf(shapes.back()) == tensor.values.size());
  }
  AtomicFile file(path);
  WriteHeader(file, shapes, type);
  for (const NamedFloats& tensor : tensors) WriteValues(file, tensor.values, type);
  file.Commit();
}

}  // namespace forge::io
