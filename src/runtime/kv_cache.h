// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "model/model_config.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

/// Keys and values of one sequence, float32. A cache may stand on a prefix that several sequences share, and
/// that one on another: a tree. Positions count from the start of the first.
class KeyValueCache {
 public:
  /// `capacity`: positions of its own, after those of the prefix, which is taken to be full: its tokens are
  /// in it, or stand earlier in the same forward pass.
  KeyValueCache(const model::ModelConfig& config, int capacity,
                std::shared_ptr<const KeyValueCache> prefix = nullptr);

  /// Positions filled, the prefix's among them.
  int length() const { return prefix_length_ + own_length_; }
  int capacity() const { return prefix_length_ + capacity_; }
  std::size_t bytes() const { return storage_.size() * sizeof(float); }

  /// Room for the keys and values of `position` (== length() for the first layer of a new token):
  /// [key_value_size].
  float* Keys(int layer, int position);
  float* Values(int layer, int position);
  /// Counts `tokens` new positions as filled; called after the last layer.
  void Extend(int tokens) { own_length_ += tokens; }

  /// Appends what a query at `position` sees in one key-value head: a span for each cache of the chain.
  void AppendSpans(int layer, int key_value_head, int position, std::vector<KeyValueSpan>& spans) const;

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
