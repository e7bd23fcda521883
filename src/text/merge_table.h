// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace forge::text {

/// The merges of a BPE tokenizer: which pair of symbols becomes which symbol, and in what order.
class MergeTable {
 public:
  struct Rule {
    int left, right, result;
    std::uint32_t rank;  // the lowest goes first; of equals the leftmost
  };
  /// Room for Apply, so that it does not allocate anew each time. Not shared between threads.
  struct Scratch {
    struct Node {
      int symbol;
      std::uint32_t previous, next;
      std::uint32_t rank;  // of the pair with the next symbol; kNone: no merge
      int result;
    };
    std::vector<Node> nodes;
    std::vector<std::uint64_t> heap;
    std::unordered_map<int, std::pair<int, int>> halves;
    /// Runs of more symbols are merged in blocks of this size; tests make it small.
    std::size_t block = 4096;
  };

  /// A pair that occurs twice keeps the last of its rules. `passing` holds true for symbols that may only be
  /// steps on the way to others: those that are left when no merge is possible fall apart again, into the
  /// pair that was seen last for them (SentencePiece's unused pieces). Symbols beyond it are not.
  explicit MergeTable(std::span<const Rule> rules, std::vector<bool> passing = {});

  /// Applies the lowest rule that is possible anywhere in `symbols` (the leftmost of equals) until none is.
  /// `symbols` is changed in place. O(n log n) for n symbols at worst; long runs are merged in blocks that
  /// fit the processor's cache, which makes them linear in practice.
  ///
  /// Blocks give the same symbols: as long as no merge crosses a place, what is left of it and what is right
  /// of it each develop as if alone. So two results may stand side by side if the last symbol of the one and
  /// the first of the other, put together from their parts, come out as these two; then no merge ever crossed
  /// that place. Where they do not, the stretch around it is merged anew, wider until both its ends hold.
  void Apply(std::vector<int>& symbols, Scratch& scratch) const;

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Slot {
    std::uint64_t pair = 0;  // left << 32 | right
    std::uint32_t rank = kNone;
    int result = 0;
  };
  /// Merged symbols, and for each where it starts among the symbols that it was made of.
  struct Merged {
    std::vector<int> symbols;
    std::vector<std::uint32_t> starts;
  };

  const Slot& Find(int left, int right) const;
  const Slot& FindAndNote(int left, int right, Scratch& scratch) const;
  void ApplyShort(std::vector<int>& symbols, Scratch& scratch) const;
  void ApplyLong(std::vector<int>& symbols, Scratch& scratch) const;
  void ApplyInBlocks(std::vector<int>& symbols, Scratch& scratch) const;
  /// Merges the symbols from `begin` to `end`.
  Merged MergePart(std::span<const int> symbols, std::size_t begin, std::size_t end, Scratch& scratch) const;
  /// True if no merge crosses the place where `right` follows `left`; `end` is the end of `right`'s symbols.
  bool MayStandBeside(std::span<const int> symbols, const Merged& left, const Merged& right, std::size_t end,
                      Scratch& scratch) const;
  /// Adds `right`, which ends at `end`, to `left`; false if that would take more than a few blocks of work.
  bool Join(std::span<const int> symbols, Merged& left, const Merged& right, std::size_t end,
            Scratch& scratch) const;
  void RunHeap(std::span<const int> symbols, Scratch& scratch) const;
  void TakeApart(std::vector<int>& symbols, const Scratch& scratch) const;

  static std::uint64_t Hash(std::uint64_t pair);

  std::vector<Slot> slots_;  // open addressing, at most two thirds full; rank kNone: empty
  int shift_ = 63;
  /// A bit for the hash of each pair: most look-ups are of pairs without a rule and need not go to the slots,
  /// which are too many for the processor's cache.
  std::vector<std::uint64_t> filter_;
  int filter_shift_ = 63;
  std::vector<bool> passing_;
};

}  // namespace forge::text
