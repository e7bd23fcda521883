// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/float_type.h"
#include "io/safetensors_layout.h"

namespace forge::io {

struct TensorShape {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// What Hugging Face cuts models at, in bytes of tensors.
inline constexpr std::uint64_t kDefaultShardBytes = 5'000'000'000;

/// Writes the weights of a folder in one pass: first all tensors are declared, then their values follow in
/// the same order, in pieces of any size. All are stored as one type, rounded to nearest even.
///
/// Everything goes into model.safetensors, or, if the tensors take more than `max_shard_bytes`, into
/// model-00001-of-0000N.safetensors and so on with model.safetensors.index.json; a tensor is never cut, so
/// one that is larger has a shard of its own. Each file carries the metadata {"format": "pt"} and appears
/// under its name when complete; write into an io::AtomicFolder to have all or none. Needs a few MiB. The
/// same tensors give the same bytes.
class SafetensorsWriter {
 public:
  SafetensorsWriter(std::filesystem::path folder, std::vector<TensorShape> tensors, FloatType type,
                    std::uint64_t max_shard_bytes = kDefaultShardBytes);

  /// The next values; a piece may reach over the end of a tensor.
  void Write(std::span<const float> values);
  /// All values of all tensors must have been written.
  void Finish();

  std::size_t num_shards() const { return shards_.size(); }

 private:
  void OpenShard();
  void CloseShard();

  std::filesystem::path folder_;
  std::vector<StoredShape> tensors_;
  FloatType type_;
  std::vector<ShardLayout> shards_;
  std::size_t current_ = 0;         // shard
  std::uint64_t remaining_ = 0;     // elements of it still to come
  std::optional<AtomicFile> file_;  // of the current shard
};

struct NamedFloats {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
};

/// A tensor of any type of the format: "F32", "BF16", "U8".
struct RawTensor {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};
/// Values rounded to `type`.
RawTensor ToRaw(std::string name, std::vector<std::int64_t> shape, std::span<const float> values,
                FloatType type);
/// Writes one file of this name: wide elements first, so that all are aligned, then by name.
void WriteRawSafetensors(const std::filesystem::path& path, std::vector<RawTensor> tensors);

/// Writes one file of this name: the tensors sorted by name, all as `type`.
void WriteSafetensors(const std::filesystem::path& path, std::vector<NamedFloats> tensors, FloatType type);

}  // namespace forge::io
