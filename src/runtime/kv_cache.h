// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "model/model_config.h"
#include "runtime/kernels/panel_product.h"

namespace forge::runtime {

/// How keys and values are held. kFloat16: rounded to nearest even, magnitudes beyond 65504 to that; half the
/// memory, and widened on the way into the products, which are those of the rounded values.
enum class KeyValueType { kFloat32, kFloat16 };
constexpr std::size_t BytesOf(KeyValueType type) { return type == KeyValueType::kFloat16 ? 2 : 4; }

/// Keys and values of consecutive positions of one key-value head, as panels for both products of attention.
struct KeyValueSpan {
  KeyValueType type;
  const std::byte* keys;           // [positions / 16 rounded up][head_dim, 16]: columns are positions
  const std::byte* values;         // [head_dim / 16 rounded up][positions, 16]: columns are features
  std::size_t value_panel_stride;  // numbers
  int length;                      // positions that are seen
};

/// Keys and values of one sequence. A cache may stand on a prefix that several sequences share, and
/// that one on another: a tree. Positions count from the start of the first.
class KeyValueCache {
 public:
  /// `capacity`: positions of its own, after those of the prefix, which is taken to be full: its tokens are
  /// in it, or stand earlier in the same forward pass; it holds the same type.
  KeyValueCache(const model::ModelConfig& config, int capacity,
                std::shared_ptr<const KeyValueCache> prefix = nullptr,
                KeyValueType type = KeyValueType::kFloat32);

  /// Positions filled, the prefix's among them.
  int length() const { return prefix_length_ + own_length_; }
  int capacity() const { return prefix_length_ + capacity_; }
  std::size_t bytes() const { return storage_.size(); }

  /// Writes keys and values [key_value_size] of one position of its own. Positions of different calls may be
  /// written from different threads.
  void Put(int layer, int position, const float* keys, const float* values);
  /// Counts `tokens` new positions as filled; called after the last layer.
  void Extend(int tokens) { own_length_ += tokens; }

  /// Room for `capacity` positions of its own, at least length(); what is held is copied. Nothing may stand
  /// on it.
  void Reserve(int capacity);
  /// Forgets the positions from `length` on.
  void Truncate(int length);

  /// Appends what a query at `position` sees in one key-value head: a span for each cache of the chain.
  void AppendSpans(int layer, int key_value_head, int position, std::vector<KeyValueSpan>& spans) const;

 private:
  template <class Number>
  void PutNumbers(int layer, int own, const Number* keys, const Number* values);
  std::size_t HeadOffset(int layer, int head) const;  // numbers
  std::byte* At(std::size_t offset) { return storage_.data() + offset * BytesOf(type_); }

  std::shared_ptr<const KeyValueCache> prefix_;
  int prefix_length_ = 0, own_length_ = 0, capacity_ = 0, layers_ = 0, heads_ = 0, head_dim_ = 0;
  std::size_t key_size_ = 0, value_size_ = 0;  // numbers of the keys and of the values of one head
  KeyValueType type_;
  std::vector<std::byte> storage_;  // [layer][key-value head][keys, values]
};

/// Bytes that one position costs, padding left out.
std::size_t KeyValueBytesPerToken(const model::ModelConfig& config,
                                  KeyValueType type = KeyValueType::kFloat32);

}  // namespace forge::runtime
