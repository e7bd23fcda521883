// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace forge::text {

/// The merges of a BPE tokenizer: which pair of tokens becomes which token, and in what order.
class MergeTable {
 public:
  struct Merge {
    int left, right, result;
  };
  /// `merges` from the best to the worst. A pair that occurs twice keeps its first rank.
  explicit MergeTable(const std::vector<Merge>& merges);

  /// Applies the best merge that is possible anywhere in `tokens` (the leftmost of equals) until none is.
  /// O(n log n) for n tokens. `tokens` is changed in place.
  void Apply(std::vector<int>& tokens) const;

 private:
  struct Slot {
    std::uint64_t pair;  // left << 32 | right
    int rank = -1;       // -1: empty
    int result = 0;
  };
  const Slot* Find(int left, int right) const;

  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 63;
};

}  // namespace forge::text
