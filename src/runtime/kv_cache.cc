// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace forge::runtime {

std::size_t KeyValueBytesPerToken(const model::ModelConfig& config) {
  return static_cast<std::size_t>(config.num_hidden_layers) * 2 *
         static_cast<std::size_t>(config.key_value_size()) * sizeof(float);
}

KeyValueCache::KeyValueCache(const model::ModelConfig& config, int capacity,
                             std::shared_ptr<const KeyValueCache> prefix)
    : prefix_(std::move(prefix)),
      capacity_(capacity),
      head_dim_(config.head_dim),
      width_(static_cast<std::size_t>(config.key_value_size())) {
  if (prefix_) prefix_length_ = prefix_->capacity();
  storage_.resize(static_cast<std::size_t>(config.num_hidden_layers) * 2 *
                  static_cast<std::size_t>(capacity) * width_);
}

std::size_t KeyValueCache::Offset(int layer, int own_position) const {
  return (static_cast<std::size_t>(layer) * 2 * static_cast<std::size_t>(capacity_) +
          static_cast<std::size_t>(own_position)) *
         width_;
}

float* KeyValueCache::Keys(int layer, int position) {
  const int own = position - prefix_length_;
  FORGE_CHECK(own >= 0 && own < capacity_);
  return storage_.data() + Offset(layer, own);
}

float* KeyValueCache::Values(int layer, int position) {
  return Keys(layer, position) + static_cast<std::size_t>(capacity_) * width_;
}

void KeyValueCache::AppendSpans(int layer, int key_value_head, int position,
                                std::vector<KeyValueSpan>& spans) const {
  if (prefix_) prefix_->AppendSpans(layer, key_value_head, std::min(position, prefix_length_ - 1), spans);
  const int length = position + 1 - prefix_length_;
  if (length <= 0) return;
  const float* keys =
      storage_.data() + Offset(layer, 0) + static_cast<std::size_t>(key_value_head * head_dim_);
  spans.push_back({keys, keys + static_cast<std::size_t>(capacity_) * width_, width_, length});
}

}  // namespace forge::runtime
