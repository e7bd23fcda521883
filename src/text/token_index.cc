// SPDX-License-Identifier: Apache-2.0
#include "text/token_index.h"

#include <algorithm>
#include <bit>

#include "text/hash_bytes.h"

namespace forge::text {

TokenIndex::TokenIndex(const std::vector<std::string>& tokens)
    : tokens_(tokens), slots_(std::bit_ceil(std::max<std::size_t>(2, 2 * tokens.size()))) {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    const auto hash = static_cast<std::uint32_t>(HashBytes(tokens[id]));
    std::size_t i = hash & mask;
    while (slots_[i].id >= 0 && (slots_[i].hash != hash || tokens[slots_[i].id] != tokens[id]))
      i = (i + 1) & mask;
    if (slots_[i].id < 0) slots_[i] = {hash, static_cast<int>(id)};
  }
}

std::optional<int> TokenIndex::Find(std::string_view token) const {
  const std::size_t mask = slots_.size() - 1;
  const auto hash = static_cast<std::uint32_t>(HashBytes(token));
  for (std::size_t i = hash & mask; slots_[i].id >= 0; i = (i + 1) & mask)
    if (slots_[i].hash == hash && tokens_[slots_[i].id] == token) return slots_[i].id;
  return std::nullopt;
}

}  // namespace forge::text
