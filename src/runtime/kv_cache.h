// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "model/model_config.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

/// Keys and values of one sequence, float32. A cache may stand on a finished prefix that several sequences
/// share; positions count from the start of the prefix.
class KeyValueCache {
 public:
  /// `capacity`: positions of its own, after those of the prefix. The prefix must not grow any more.
  KeyValueCache(const model::ModelConfig& config, int capacity,
                std::shared_ptr<const KeyValueCache> prefix = nullptr);

  int length() const { return prefix_length_ + own_length_; }
  int capacity() const { return prefix_length_ + capacity_; }
  std::size_t bytes() const { return storage_.size() * sizeof(float); }

  /// Room for the keys and values of `position` (== length() for the first layer of a new token):
  /// [key_value_size].
  float* Keys(int layer, int position);
  float* Values(int layer, int position);
  /// Counts `tokens` new positions as filled; called after the last layer.
  void Extend(int tokens) { own_length_ += tokens; }

  /// What a query at `position` sees in one key-value head: at most two spans. Returns their number.
  int Spans(int layer, int key_value_head, int position, KeyValueSpan spans[2]) const;

 private:
  std::size_t Offset(int layer, int own_position) const;

  std::shared_ptr<const KeyValueCache> prefix_;
  int prefix_length_ = 0, own_length_ = 0, capacity_ = 0, head_dim_ = 0;
  std::size_t width_ = 0;       // key_value_size
  std::vector<float> storage_;  // [layer][keys, values][capacity][key_value_size]
};

/// Bytes that one position costs.
std::size_t KeyValueBytesPerToken(const model::ModelConfig& config);

}  // namespace forge::runtime
