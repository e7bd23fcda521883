// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <vector>

#include "io/parallel_file.h"
#include "io/safetensors_layout.h"
#include "io/safetensors_writer.h"

namespace forge::io {

/// Writes the weights of a folder from several threads: all tensors are declared first, then their values
/// come in any order. The same files as SafetensorsWriter makes, but tensors may have different types.
///
/// Disk space is taken at the start, so a disk that is too small is an Error(kEnvironment) before any work.
/// Files appear under their names in Finish. Memory: see ParallelFile; values should come roughly in the
/// order of the tensors.
class ParallelSafetensorsWriter {
 public:
  ParallelSafetensorsWriter(std::filesystem::path folder, std::vector<StoredShape> tensors,
                            std::uint64_t max_shard_bytes = kDefaultShardBytes);

  /// The elements [first, first + values.size()) of a tensor, rounded to its type. May be called from several
  /// threads; every element must come once (not checked).
  void Write(std::size_t tensor, std::size_t first, std::span<const float> values);
  void Finish();

  std::size_t num_shards() const { return shards_.size(); }
  std::uint64_t bytes() const { return bytes_; }  // of all files

 private:
  struct Place {
    std::size_t shard;
    std::uint64_t offset;  // in its file
  };
  std::filesystem::path folder_;
  std::vector<StoredShape> tensors_;
  std::vector<ShardLayout> shards_;
  std::vector<Place> places_;  // [tensors]
  std::deque<ParallelFile> files_;
  std::uint64_t bytes_ = 0;
};

}  // namespace forge::io
