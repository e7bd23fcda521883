// SPDX-License-Identifier: Apache-2.0
#include "text/word_cache.h"

#include <algorithm>
#include <cstring>

#include "text/hash_bytes.h"

namespace forge::text {
namespace {

constexpr std::uint64_t kLongPiece = std::uint64_t{0xff} << 56;

}  // namespace

WordCache::WordCache() : slots_(kSlots) {}

WordCache::Key WordCache::KeyOf(std::string_view piece, std::uint64_t& hash) {
  if (!IsShort(piece)) {
    hash = HashBytes(piece);
    return {hash, kLongPiece | piece.size()};
  }
  Key key;
  std::memcpy(&key.low, piece.data(), std::min<std::size_t>(piece.size(), 8));
  if (piece.size() > 8) std::memcpy(&key.high, piece.data() + 8, piece.size() - 8);
  key.high |= static_cast<std::uint64_t>(piece.size()) << 56;
  hash = (key.low ^ key.high * kGoldenRatio) * kGoldenRatio;
  hash ^= hash >> 32;
  return key;
}

bool WordCache::Matches(const Slot& slot, const Key& key, std::string_view piece) const {
  return slot.key == key &&
         (IsShort(piece) || std::memcmp(bytes_.data() + slot.bytes_at, piece.data(), piece.size()) == 0);
}

std::optional<std::span<const int>> WordCache::Find(std::string_view piece) const {
  std::uint64_t hash = 0;
  const Key key = KeyOf(piece, hash);
  for (std::size_t i = 0; i < kNeighbours; ++i) {
    const Slot& slot = slots_[(hash + i) % kSlots];
    if (slot.key == Key{}) return std::nullopt;
    if (Matches(slot, key, piece))
      return slot.count == 1 ? std::span(&slot.first_id, 1)
                             : std::span(ids_.data() + slot.first_id, slot.count);
  }
  return std::nullopt;
}

void WordCache::Add(std::string_view piece, std::span<const int> ids) {
  if (piece.empty() || piece.size() > kMaxPiece) return;
  if (ids_.size() + ids.size() > kMaxIds || bytes_.size() + piece.size() > kMaxBytes) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    ids_.clear();
    bytes_.clear();
  }
  std::uint64_t hash = 0;
  Slot added{.key = KeyOf(piece, hash), .count = static_cast<std::uint32_t>(ids.size())};
  std::size_t place = (hash + ids_.size() % kNeighbours) % kSlots;  // any of them, when all are taken
  for (std::size_t i = 0; i < kNeighbours; ++i) {
    const std::size_t candidate = (hash + i) % kSlots;
    if (slots_[candidate].key == Key{}) {
      place = candidate;
      break;
    }
  }
  if (ids.size() == 1) {
    added.first_id = ids[0];
  } else {
    added.first_id = static_cast<int>(ids_.size());
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }
  if (!IsShort(piece)) {
    added.bytes_at = static_cast<std::uint32_t>(bytes_.size());
    bytes_.insert(bytes_.end(), piece.begin(), piece.end());
  }
  slots_[place] = added;
}

}  // namespace forge::text
