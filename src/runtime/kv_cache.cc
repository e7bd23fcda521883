// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace forge::runtime {

namespace {
std::size_t Panels(int columns) {
  return (static_cast<std::size_t>(columns) + kPanelWidth - 1) / kPanelWidth;
}
}  // namespace

std::size_t KeyValueBytesPerToken(const model::ModelConfig& config) {
  return static_cast<std::size_t>(config.num_hidden_layers) * 2 *
         static_cast<std::size_t>(config.key_value_size()) * sizeof(float);
}

KeyValueCache::KeyValueCache(const model::ModelConfig& config, int capacity,
                             std::shared_ptr<const KeyValueCache> prefix)
    : prefix_(std::move(prefix)),
      capacity_(capacity),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      key_size_(Panels(capacity) * kPanelWidth * static_cast<std::size_t>(config.head_dim)),
      value_size_(Panels(config.head_dim) * kPanelWidth * static_cast<std::size_t>(capacity)) {
  if (prefix_) prefix_length_ = prefix_->capacity();
  storage_.resize(static_cast<std::size_t>(config.num_hidden_layers) * static_cast<std::size_t>(heads_) *
                  (key_size_ + value_size_));
}

std::size_t KeyValueCache::HeadOffset(int layer, int head) const {
  return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads_) +
          static_cast<std::size_t>(head)) *
         (key_size_ + value_size_);
}

void KeyValueCache::Put(int layer, int position, const float* keys, const float* values) {
  const int own = position - prefix_length_;
  FORGE_CHECK(own >= 0 && own < capacity_);
  const auto row = static_cast<std::size_t>(own), head_dim = static_cast<std::size_t>(head_dim_);
  for (int head = 0; head < heads_; ++head, keys += head_dim, values += head_dim) {
    float* key = storage_.data() + HeadOffset(layer, head) + row / kPanelWidth * head_dim * kPanelWidth +
                 row % kPanelWidth;
    for (std::size_t i = 0; i < head_dim; ++i) key[i * kPanelWidth] = keys[i];
    float* value = storage_.data() + HeadOffset(layer, head) + key_size_ + row * kPanelWidth;
    for (std::size_t i = 0; i < head_dim;
         i += kPanelWidth, value += static_cast<std::size_t>(capacity_) * kPanelWidth)
      std::copy_n(values + i, std::min<std::size_t>(kPanelWidth, head_dim - i), value);
  }
}

void KeyValueCache::Reserve(int capacity) {
  FORGE_CHECK(capacity >= own_length_);
  const std::size_t head_panels = Panels(head_dim_),
                    held = static_cast<std::size_t>(own_length_) * kPanelWidth;
  const std::size_t key_size = Panels(capacity) * kPanelWidth * static_cast<std::size_t>(head_dim_);
  const std::size_t value_size = head_panels * kPanelWidth * static_cast<std::size_t>(capacity);
  const std::size_t heads = static_cast<std::size_t>(layers_ * heads_);
  std::vector<float> storage(heads * (key_size + value_size));
  for (std::size_t head = 0; head < heads; ++head) {
    const float* from = storage_.data() + head * (key_size_ + value_size_);
    float* to = storage.data() + head * (key_size + value_size);
    std::copy_n(from, std::min(key_size_, key_size),
                to);  // whole panels; what is beyond the length is overwritten later
    for (std::size_t panel = 0; panel < head_panels; ++panel)
      std::copy_n(from + key_size_ + panel * static_cast<std::size_t>(capacity_) * kPanelWidth, held,
                  to + key_size + panel * static_cast<std::size_t>(capacity) * kPanelWidth);
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
  const float* keys = Head(layer, key_value_head);
  spans.push_back({keys, keys + key_size_, static_cast<std::size_t>(capacity_) * kPanelWidth, length});
}

}  // namespace forge::runtime
