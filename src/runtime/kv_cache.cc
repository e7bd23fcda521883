// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "io/float_arrays.h"

namespace forge::runtime {

namespace {
std::size_t Panels(int columns) {
  return (static_cast<std::size_t>(columns) + kPanelWidth - 1) / kPanelWidth;
}
}  // namespace

std::size_t KeyValueBytesPerToken(const model::ModelConfig& config, KeyValueType type) {
  return static_cast<std::size_t>(config.num_hidden_layers) * 2 *
         static_cast<std::size_t>(config.key_value_size()) * BytesOf(type);
}

KeyValueCache::KeyValueCache(const model::ModelConfig& config, int capacity,
                             std::shared_ptr<const KeyValueCache> prefix, KeyValueType type)
    : prefix_(std::move(prefix)),
      capacity_(capacity),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      key_size_(Panels(capacity) * kPanelWidth * static_cast<std::size_t>(config.head_dim)),
      value_size_(Panels(config.head_dim) * kPanelWidth * static_cast<std::size_t>(capacity)),
      type_(type) {
  FORGE_CHECK(!prefix_ || prefix_->type_ == type);
  if (prefix_) prefix_length_ = prefix_->capacity();
  storage_.resize(static_cast<std::size_t>(config.num_hidden_layers) * static_cast<std::size_t>(heads_) *
                  (key_size_ + value_size_) * BytesOf(type));
}

std::size_t KeyValueCache::HeadOffset(int layer, int head) const {
  return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads_) +
          static_cast<std::size_t>(head)) *
         (key_size_ + value_size_);
}

void KeyValueCache::Put(int layer, int position, const float* keys, const float* values) {
  const int own = position - prefix_length_;
  FORGE_CHECK(own >= 0 && own < capacity_);
  if (type_ == KeyValueType::kFloat32) return PutNumbers(layer, own, keys, values);
  const auto size = static_cast<std::size_t>(heads_ * head_dim_);
  thread_local std::vector<float> limited;
  thread_local std::vector<std::uint16_t> key_halves, value_halves;
  limited.resize(size);
  const auto narrow = [&](const float* numbers, std::vector<std::uint16_t>& halves) {
    const float most = io::LargestOf(io::FloatType::kF16);
    for (std::size_t i = 0; i < size; ++i) limited[i] = std::clamp(numbers[i], -most, most);
    halves.resize(size);
    io::NarrowFloats(limited, io::FloatType::kF16, reinterpret_cast<std::byte*>(halves.data()));
  };
  narrow(keys, key_halves);
  narrow(values, value_halves);
  PutNumbers(layer, own, key_halves.data(), value_halves.data());
}

template <class Number>
void KeyValueCache::PutNumbers(int layer, int own, const Number* keys, const Number* values) {
  const auto row = static_cast<std::size_t>(own), head_dim = static_cast<std::size_t>(head_dim_);
  for (int head = 0; head < heads_; ++head, keys += head_dim, values += head_dim) {
    const std::size_t first = HeadOffset(layer, head);
    auto* key =
        reinterpret_cast<Number*>(At(first + row / kPanelWidth * head_dim * kPanelWidth + row % kPanelWidth));
    for (std::size_t i = 0; i < head_dim; ++i) key[i * kPanelWidth] = keys[i];
    auto* value = reinterpret_cast<Number*>(At(first + key_size_ + row * kPanelWidth));
    for (std::size_t i = 0; i < head_dim;
         i += kPanelWidth, value += static_cast<std::size_t>(capacity_) * kPanelWidth)
      std::copy_n(values + i, std::min<std::size_t>(kPanelWidth, head_dim - i), value);
  }
}

void KeyValueCache::Reserve(int capacity) {
  FORGE_CHECK(capacity >= own_length_);
  const std::size_t number = BytesOf(type_);
  const std::size_t head_panels = Panels(head_dim_),
                    held = static_cast<std::size_t>(own_length_) * kPanelWidth * number;
  const std::size_t key_size = Panels(capacity) * kPanelWidth * static_cast<std::size_t>(head_dim_);
  const std::size_t value_size = head_panels * kPanelWidth * static_cast<std::size_t>(capacity);
  const std::size_t heads = static_cast<std::size_t>(layers_ * heads_);
  std::vector<std::byte> storage(heads * (key_size + value_size) * number);
  for (std::size_t head = 0; head < heads; ++head) {
    const std::byte* from = storage_.data() + head * (key_size_ + value_size_) * number;
    std::byte* to = storage.data() + head * (key_size + value_size) * number;
    std::copy_n(from, std::min(key_size_, key_size) * number,
                to);  // whole panels; what is beyond the length is overwritten later
    for (std::size_t panel = 0; panel < head_panels; ++panel)
      std::copy_n(from + (key_size_ + panel * static_cast<std::size_t>(capacity_) * kPanelWidth) * number,
                  held, to + (key_size + panel * static_cast<std::size_t>(capacity) * kPanelWidth) * number);
  }
  storage_ = std::move(storage);
  capacity_ = capacity;
  key_size_ = key_size;
  value_size_ = value_size;
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
  const std::byte* keys = storage_.data() + HeadOffset(layer, key_value_head) * BytesOf(type_);
  spans.push_back({type_, keys, keys + key_size_ * BytesOf(type_),
                   static_cast<std::size_t>(capacity_) * kPanelWidth, length});
}

}  // namespace forge::runtime
