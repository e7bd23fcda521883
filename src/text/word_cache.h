// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace forge::text {

/// The ids of pieces of text that were seen lately, since most words of a text come again. Bounded: a full
/// neighbourhood gives up one of its entries, a full store of bytes and ids everything, so that no text makes
/// it grow beyond about 10 MB or slow. Not shared between threads.
class WordCache {
 public:
  /// Longer pieces are not kept.
  static constexpr std::size_t kMaxPiece = 256;

  WordCache();
  /// The ids of `piece` if they are known; valid until the next Add.
  std::optional<std::span<const int>> Find(std::string_view piece) const;
  /// Remembers them; nothing happens for a piece that is empty or too long.
  void Add(std::string_view piece, std::span<const int> ids);

 private:
  static constexpr std::size_t kSlots = 1 << 16;
  static constexpr std::size_t kNeighbours = 8;                         // slots where a piece may be
  static constexpr std::size_t kMaxBytes = 1 << 22, kMaxIds = 1 << 20;  // in the store

  /// Up to 15 bytes are the key themselves with their number in the last one; of more, the hash and the
  /// number, and the bytes lie in the store.
  struct Key {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;                     // 0: empty
    int first_id = 0;            // the id if there is one, else the position of the ids in the store
    std::uint32_t count = 0;     // ids
    std::uint32_t bytes_at = 0;  // of a long piece
  };
  static bool IsShort(std::string_view piece) { return piece.size() < 16; }
  static Key KeyOf(std::string_view piece, std::uint64_t& hash);
  bool Matches(const Slot& slot, const Key& key, std::string_view piece) const;

  std::vector<Slot> slots_;
  std::vector<int> ids_;
  std::vector<char> bytes_;
};

}  // namespace forge::text
