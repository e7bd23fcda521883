// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/huge_memory.h"
#include "merge/exact/tensor_merge.h"
#include "model/weight_source.h"

namespace forge::pipeline {

/// Reads the sources of one tensor's merge after the other's: widened to float32 or, where all of a tensor is
/// bfloat16 in the files of folders, as stored. Those are copied from the files rather than mapped, which
/// costs less, and kept from the first pass over a tensor to the last where they take at most 128 MiB; else
/// they are read again.
class TensorReader {
 public:
  /// models  as MergePlan::models, which must outlive this
  explicit TensorReader(const std::vector<std::unique_ptr<model::WeightSource>>& models);
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;

  /// What is read from now on; the task must live as long as it is read. may_keep: whether tensors like this
  /// one follow, so that the memory that it is kept in is used again; fresh memory costs more than reading
  /// twice.
  void Open(const merge::TensorTask& task, bool may_keep);
  merge::SourceReader Read();
  merge::StoredReader Find();

  /// What the readers of all threads keep at most.
  static constexpr std::size_t kMostKept = 256 << 20;

 private:
  struct Source {
    const model::WeightSource* model;
    const model::TensorSpec* spec;
    std::optional<model::StoredRows> rows;  // if it is bfloat16 that can be copied
    std::vector<std::uint32_t> kept;        // [rows] how many elements from there on are in memory
  };
  std::byte* PlaceOf(std::size_t source, std::size_t first, std::size_t size, bool again);

  const std::vector<std::unique_ptr<model::WeightSource>>& models_;
  std::vector<std::map<std::string, model::TensorSpec>> specs_;  // [models]
  const merge::TensorTask* task_ = nullptr;
  std::vector<Source> sources_;
  bool keeps_ = false;
  HugeMemory kept_;  // [sources, elements]
};

}  // namespace forge::pipeline
