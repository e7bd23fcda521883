// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_config.h"
#include "runtime/kernels/narrow_panels.h"

namespace forge::runtime {

/// How keys and values are held. Products are those of the rounded values, to the bit.
///   kFloat32  as they are
///   kFloat16  rounded to nearest even, magnitudes beyond 65504 to that: half the memory
///   kInt8     blocks of Q8_0: 32 neighbouring features of one head and position share a binary16 scale, the
///             largest magnitude / 127; a value is off by at most half of its scale (largest magnitude / 254,
///             or 4e-6 if that is more; magnitudes beyond 127 * 65504 are cut). 0.27 of the memory. By 32
///             features and not by head, since keys of some models (Qwen2) have single features many times
///             larger than the rest, which then cost only their own block its precision. A block with a NaN
///             is NaN.
enum class KeyValueType { kFloat32, kFloat16, kInt8 };
/// "f32", "f16", "q8_0".
const char* Name(KeyValueType type);

/// Keys and values of consecutive positions of one key-value head, as panels for both products of attention.
struct KeyValueSpan {
  KeyValueType type;
  int length;                      // positions that are seen
  const std::byte* keys;           // [positions / 16 rounded up][head_dim, 16]: columns are positions
  const std::byte* values;         // [head_dim / 16 rounded up][positions, 16]: columns are features
  std::size_t value_panel_stride;  // numbers
  // Of kInt8, binary16:
  const std::uint16_t* key_scales;    // [positions / 16 rounded up][head_dim / 32 rounded up][16]
  const std::uint16_t* value_scales;  // [head_dim / 32 rounded up][positions]
  std::size_t key_scale_stride, value_scale_stride;  // of panels of positions; of blocks of features

  /// Only of the narrow types.
  NarrowPanels NarrowKeys(std::size_t head_dim) const;
  NarrowPanels NarrowValues() const;
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
  /// Where the parts of one head are, in bytes from its start, for a capacity.
  struct HeadLayout {
    std::size_t key_scales, values, value_scales, end;   // keys begin at 0
    std::size_t value_panel_stride, value_scale_stride;  // numbers
    std::size_t key_panel_bytes, key_panel_scales;       // bytes of a panel of keys; numbers of its scales
  };
  HeadLayout LayoutFor(int capacity) const;
  std::byte* Head(int layer, int head);
  template <class Number>
  void PutNumbers(std::byte* head, std::size_t row, const Number* keys, const Number* values) const;
  void PutBlocks(std::byte* head, std::size_t row, const float* keys, const float* values) const;

  std::shared_ptr<const KeyValueCache> prefix_;
  int prefix_length_ = 0, own_length_ = 0, capacity_ = 0, layers_ = 0, heads_ = 0, head_dim_ = 0;
  KeyValueType type_;
  HeadLayout layout_;
  std::vector<std::byte> storage_;  // [layer][key-value head][keys, scales of keys, values, scales of values]
};

/// Bytes that one position costs, padding left out.
std::size_t KeyValueBytesPerToken(const model::ModelConfig& config,
                                  KeyValueType type = KeyValueType::kFloat32);

}  // namespace forge::runtime
