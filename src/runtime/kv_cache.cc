// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/float16.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

namespace {

constexpr std::size_t RoundUp(std::size_t count, std::size_t step) { return (count + step - 1) / step; }
std::size_t Panels(int columns) { return RoundUp(static_cast<std::size_t>(columns), kPanelWidth); }
std::size_t Blocks(int features) { return RoundUp(static_cast<std::size_t>(features), kScaleBlock); }

constexpr float kLargestCode = 127.0f;

std::size_t NumberBytes(KeyValueType type) {
  return type == KeyValueType::kFloat32 ? 4 : type == KeyValueType::kFloat16 ? 2 : 1;
}

/// The codes of x [size], at most a block, and their scale.
std::uint16_t RoundBlock(const float* x, std::size_t size, std::int8_t* codes) {
  float largest = 0;
  bool is_number = true;
  for (std::size_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    is_number &= x[i] == x[i];
  }
  const std::uint16_t stored = FloatToHalf(is_number ? std::min(largest / kLargestCode, kLargestHalf)
                                                     : std::numeric_limits<float>::quiet_NaN());
  const float scale = HalfToFloat(stored), inverse = scale > 0 ? 1.0f / scale : 0.0f;
  // Adding and taking away 1.5 * 2^23 rounds to nearest even; unlike std::nearbyint it compiles to vectors.
  constexpr float kRound = 12582912.0f;
  for (std::size_t i = 0; i < size; ++i) {
    const float limited = std::min(std::max(x[i] * inverse, -kLargestCode), kLargestCode);
    codes[i] = static_cast<std::int8_t>(std::bit_cast<std::int32_t>(limited + kRound) -
                                        std::bit_cast<std::int32_t>(kRound));
  }
  return stored;
}

}  // namespace

NarrowPanels KeyValueSpan::NarrowKeys(std::size_t head_dim) const {
  const bool is_half = type == KeyValueType::kFloat16;
  return {is_half ? PanelNumbers::kHalf : PanelNumbers::kInt8ByColumn, keys, head_dim * kPanelWidth,
          key_scales, key_scale_stride};
}

NarrowPanels KeyValueSpan::NarrowValues() const {
  const bool is_half = type == KeyValueType::kFloat16;
  return {is_half ? PanelNumbers::kHalf : PanelNumbers::kInt8ByRow, values, value_panel_stride, value_scales,
          value_scale_stride};
}

const char* Name(KeyValueType type) {
  return type == KeyValueType::kFloat32 ? "f32" : type == KeyValueType::kFloat16 ? "f16" : "q8_0";
}

std::size_t KeyValueBytesPerToken(const model::ModelConfig& config, KeyValueType type) {
  const std::size_t scales = type == KeyValueType::kInt8 ? 2 * Blocks(config.head_dim) : 0;
  const std::size_t head = static_cast<std::size_t>(config.head_dim) * NumberBytes(type) + scales;
  return static_cast<std::size_t>(config.num_hidden_layers) * 2 *
         static_cast<std::size_t>(config.num_key_value_heads) * head;
}

KeyValueCache::KeyValueCache(const model::ModelConfig& config, int capacity,
                             std::shared_ptr<const KeyValueCache> prefix, KeyValueType type)
    : prefix_(std::move(prefix)),
      capacity_(capacity),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      type_(type),
      layout_(LayoutFor(capacity)) {
  FORGE_CHECK(!prefix_ || prefix_->type_ == type);
  if (prefix_) prefix_length_ = prefix_->capacity();
  storage_.resize(static_cast<std::size_t>(layers_ * heads_) * layout_.end);
}

KeyValueCache::HeadLayout KeyValueCache::LayoutFor(int capacity) const {
  const std::size_t number = NumberBytes(type_), positions = static_cast<std::size_t>(capacity);
  const std::size_t blocks = type_ == KeyValueType::kInt8 ? Blocks(head_dim_) : 0;
  HeadLayout layout{};
  layout.key_panel_bytes = static_cast<std::size_t>(head_dim_) * kPanelWidth * number;
  layout.key_panel_scales = blocks * kPanelWidth;
  layout.value_panel_stride = positions * kPanelWidth;
  layout.value_scale_stride = Panels(capacity) * kPanelWidth;  // they are read in steps of 16
  layout.key_scales = Panels(capacity) * layout.key_panel_bytes;
  layout.values = layout.key_scales + Panels(capacity) * layout.key_panel_scales * sizeof(std::uint16_t);
  layout.value_scales = layout.values + Panels(head_dim_) * layout.value_panel_stride * number;
  layout.end = layout.value_scales + blocks * layout.value_scale_stride * sizeof(std::uint16_t);
  return layout;
}

std::byte* KeyValueCache::Head(int layer, int head) {
  return storage_.data() + static_cast<std::size_t>(layer * heads_ + head) * layout_.end;
}

void KeyValueCache::Put(int layer, int position, const float* keys, const float* values) {
  const int own = position - prefix_length_;
  FORGE_CHECK(own >= 0 && own < capacity_);
  const auto row = static_cast<std::size_t>(own), head_dim = static_cast<std::size_t>(head_dim_);
  thread_local std::vector<std::uint16_t> halves;
  halves.resize(2 * head_dim);
  const auto narrow = [&](const float* numbers, std::uint16_t* to) {
    Kernels().to_half(numbers, head_dim, to);
    return to;
  };
  for (int head = 0; head < heads_; ++head, keys += head_dim, values += head_dim) {
    std::byte* const place = Head(layer, head);
    if (type_ == KeyValueType::kFloat32) PutNumbers(place, row, keys, values);
    if (type_ == KeyValueType::kFloat16)
      PutNumbers(place, row, narrow(keys, halves.data()), narrow(values, halves.data() + head_dim));
    if (type_ == KeyValueType::kInt8) PutBlocks(place, row, keys, values);
  }
}

template <class Number>
void KeyValueCache::PutNumbers(std::byte* head, std::size_t row, const Number* keys,
                               const Number* values) const {
  const auto head_dim = static_cast<std::size_t>(head_dim_);
  auto* key =
      reinterpret_cast<Number*>(head + row / kPanelWidth * layout_.key_panel_bytes) + row % kPanelWidth;
  for (std::size_t i = 0; i < head_dim; ++i) key[i * kPanelWidth] = keys[i];
  auto* value = reinterpret_cast<Number*>(head + layout_.values) + row * kPanelWidth;
  for (std::size_t i = 0; i < head_dim; i += kPanelWidth, value += layout_.value_panel_stride)
    std::copy_n(values + i, std::min<std::size_t>(kPanelWidth, head_dim - i), value);
}

void KeyValueCache::PutBlocks(std::byte* head, std::size_t row, const float* keys,
                              const float* values) const {
  const auto head_dim = static_cast<std::size_t>(head_dim_);
  thread_local std::vector<std::int8_t> codes;  // of the keys, then of the values
  codes.resize(2 * head_dim);
  auto* key_scale = reinterpret_cast<std::uint16_t*>(head + layout_.key_scales) +
                    row / kPanelWidth * layout_.key_panel_scales + row % kPanelWidth;
  auto* value_scale = reinterpret_cast<std::uint16_t*>(head + layout_.value_scales) + row;
  for (std::size_t i = 0; i < head_dim; i += kScaleBlock) {
    const std::size_t size = std::min(kScaleBlock, head_dim - i);
    *key_scale = RoundBlock(keys + i, size, codes.data() + i);
    *value_scale = RoundBlock(values + i, size, codes.data() + head_dim + i);
    key_scale += kPanelWidth;
    value_scale += layout_.value_scale_stride;
  }
  PutNumbers(head, row, codes.data(), codes.data() + head_dim);
}

void KeyValueCache::Reserve(int capacity) {
  FORGE_CHECK(capacity >= own_length_);
  const std::size_t number = NumberBytes(type_), held = static_cast<std::size_t>(own_length_);
  const HeadLayout next = LayoutFor(capacity);
  const std::size_t heads = static_cast<std::size_t>(layers_ * heads_), blocks = Blocks(head_dim_);
  std::vector<std::byte> storage(heads * next.end);
  for (std::size_t head = 0; head < heads; ++head) {
    const std::byte* from = storage_.data() + head * layout_.end;
    std::byte* to = storage.data() + head * next.end;
    // Whole panels; what is beyond the length is overwritten later.
    std::copy_n(from, std::min(layout_.key_scales, next.key_scales), to);
    std::copy_n(from + layout_.key_scales,
                std::min(layout_.values - layout_.key_scales, next.values - next.key_scales),
                to + next.key_scales);
    for (std::size_t panel = 0; panel < Panels(head_dim_); ++panel)
      std::copy_n(from + layout_.values + panel * layout_.value_panel_stride * number,
                  held * kPanelWidth * number, to + next.values + panel * next.value_panel_stride * number);
    for (std::size_t block = 0; type_ == KeyValueType::kInt8 && block < blocks; ++block)
      std::copy_n(from + layout_.value_scales + block * layout_.value_scale_stride * sizeof(std::uint16_t),
                  held * sizeof(std::uint16_t),
                  to + next.value_scales + block * next.value_scale_stride * sizeof(std::uint16_t));
  }
  storage_ = std::move(storage);
  capacity_ = capacity;
  layout_ = next;
}

void KeyValueCache::Truncate(int length) {
  FORGE_CHECK(length >= prefix_length_ && length <= this->length());
  own_length_ = length - prefix_length_;
}

void KeyValueCache::AppendSpans(int layer, int key_value_head, int position,
                                std::vector<KeyValueSpan>& spans) const {
  if (prefix_) prefix_->AppendSpans(layer, key_value_head, std::min(position, prefix_length_ - 1), spans);
  const int length = position + 1 - prefix_length_;
  if (length <= 0) return;
  const std::byte* head =
      storage_.data() + static_cast<std::size_t>(layer * heads_ + key_value_head) * layout_.end;
  spans.push_back({.type = type_,
                   .length = length,
                   .keys = head,
                   .values = head + layout_.values,
                   .value_panel_stride = layout_.value_panel_stride,
                   .key_scales = reinterpret_cast<const std::uint16_t*>(head + layout_.key_scales),
                   .value_scales = reinterpret_cast<const std::uint16_t*>(head + layout_.value_scales),
                   .key_scale_stride = layout_.key_panel_scales,
                   .value_scale_stride = layout_.value_scale_stride});
}

}  // namespace forge::runtime
