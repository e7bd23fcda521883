// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

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
  FORGE_CHECK(!prefix_ || !prefix_->prefix_);  // one level: a query sees at most two spans
  if (prefix_) prefix_length_ = prefix_->length();
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

int KeyValueCache::Spans(int layer, int key_value_head, int position, KeyValueSpan spans[2]) const {
  int count = 0;
  const std::size_t head = static_cast<std::size_t>(key_value_head * head_dim_);
  const auto add = [&](const KeyValueCache& cache, int length) {
    if (length <= 0) return;
    const float* keys = cache.storage_.data() + cache.Offset(layer, 0) + head;
    spans[count++] = {keys, keys + static_cast<std::size_t>(cache.capacity_) * width_, width_, length};
  };
  if (prefix_) add(*prefix_, std::min(prefix_length_, position + 1));
  add(*this, position + 1 - prefix_length_);
  return count;
}

}  // namespace forge::runtime
