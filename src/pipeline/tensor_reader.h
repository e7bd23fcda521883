// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "merge/exact/tensor_merge.h"
#include "model/weight_source.h"

namespace forge::pipeline {

/// Reads the sources of one tensor's merge, widened or, where they are bfloat16 in a mapped file, where they
/// lie. Pages that were found stay mapped from one pass over the tensor to the next, since mapping them again
/// costs more than reading them, until this goes; of a tensor whose sources take more than 256 MiB they are
/// let go every 128 MiB.
class TensorReader {
 public:
  /// models  as MergePlan::models; they and the task must outlive this
  TensorReader(const std::vector<std::unique_ptr<model::WeightSource>>& models,
               const merge::TensorTask& task);
  ~TensorReader();
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;

  merge::SourceReader Read();
  merge::StoredReader Find();

 private:
  struct Source {
    const model::WeightSource* model;
    model::TensorSpec spec;
    std::optional<model::StoredRows> rows;  // if it is bfloat16 whose rows lie one after the other
  };
  void Release() const;

  const merge::TensorTask& task_;
  std::vector<Source> sources_;
  bool is_large_;
  std::atomic<std::uint64_t> found_bytes_{0};
};

}  // namespace forge::pipeline
