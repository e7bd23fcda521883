// SPDX-License-Identifier: Apache-2.0
#include "text/merge_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

#include "text/hash_bytes.h"

namespace forge::text {
namespace {

/// Up to this many symbols, looking through all pairs for each merge is faster than a heap.
constexpr std::size_t kShort = 32;

std::uint64_t Pair(int left, int right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

std::uint64_t MergeTable::Hash(std::uint64_t pair) {
  const std::uint64_t hash = pair * kGoldenRatio;
  return hash ^ hash >> 29;
}

MergeTable::MergeTable(std::span<const Rule> rules, std::vector<bool> passing)
    : passing_(std::move(passing)) {
  const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(2, rules.size() + rules.size() / 2));
  slots_.resize(capacity);
  shift_ = 64 - std::countr_zero(capacity);
  constexpr std::size_t kBitsForEach = 8;  // of 64 then one or two are set, so that a few in a hundred get by
  const std::size_t bits = std::bit_ceil(std::max<std::size_t>(64, kBitsForEach * rules.size()));
  filter_.resize(bits / 64);
  filter_shift_ = 64 - std::countr_zero(bits);
  for (const Rule& rule : rules) {
    const std::uint64_t pair = Pair(rule.left, rule.right), hash = Hash(pair);
    std::size_t i = hash >> shift_;
    while (slots_[i].rank != kNone && slots_[i].pair != pair) i = (i + 1) & (capacity - 1);
    slots_[i] = {pair, rule.rank, rule.result};
    filter_[hash >> filter_shift_ >> 6] |= std::uint64_t{1} << (hash >> filter_shift_ & 63);
  }
}

const MergeTable::Slot& MergeTable::Find(int left, int right) const {
  static constexpr Slot kNoSlot;
  const std::uint64_t pair = Pair(left, right), hash = Hash(pair);
  if ((filter_[hash >> filter_shift_ >> 6] >> (hash >> filter_shift_ & 63) & 1) == 0) return kNoSlot;
  std::size_t i = hash >> shift_;
  while (slots_[i].rank != kNone && slots_[i].pair != pair) i = (i + 1) & (slots_.size() - 1);
  return slots_[i];
}

const MergeTable::Slot& MergeTable::FindAndNote(int left, int right, Scratch& scratch) const {
  const Slot& slot = Find(left, right);
  if (!passing_.empty() && slot.rank != kNone && static_cast<std::size_t>(slot.result) < passing_.size() &&
      passing_[slot.result])
    scratch.halves[slot.result] = {left, right};
  return slot;
}

void MergeTable::Apply(std::vector<int>& symbols, Scratch& scratch) const {
  scratch.halves.clear();
  if (symbols.size() <= kShort)
    ApplyShort(symbols, scratch);
  else if (symbols.size() > 2 * scratch.block && passing_.empty())
    ApplyInBlocks(symbols, scratch);
  else
    ApplyLong(symbols, scratch);
  if (!scratch.halves.empty()) TakeApart(symbols, scratch);
}

void MergeTable::ApplyShort(std::vector<int>& symbols, Scratch& scratch) const {
  std::size_t count = symbols.size();
  if (count < 2) return;
  std::array<std::uint64_t, kShort> pairs;  // rank << 32 | result of symbols i and i + 1
  int* const symbol = symbols.data();
  const auto look = [&](std::size_t i) {
    const Slot& slot = FindAndNote(symbol[i], symbol[i + 1], scratch);
    pairs[i] = static_cast<std::uint64_t>(slot.rank) << 32 | static_cast<std::uint32_t>(slot.result);
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (pairs[i] >> 32 < pairs[best] >> 32) best = i;
    if (pairs[best] >> 32 == kNone) break;
    symbol[best] = static_cast<int>(static_cast<std::uint32_t>(pairs[best]));
    --count;
    std::copy(symbol + best + 2, symbol + count + 1, symbol + best + 1);
    std::copy(pairs.begin() + best + 1, pairs.begin() + count, pairs.begin() + best);
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
  symbols.resize(count);
}

void MergeTable::ApplyLong(std::vector<int>& symbols, Scratch& scratch) const {
  RunHeap(symbols, scratch);
  symbols.clear();
  for (std::uint32_t i = 0; i != kNone; i = scratch.nodes[i].next) symbols.push_back(scratch.nodes[i].symbol);
}

MergeTable::Merged MergeTable::MergePart(std::span<const int> symbols, std::size_t begin, std::size_t end,
                                         Scratch& scratch) const {
  RunHeap(symbols.subspan(begin, end - begin), scratch);
  Merged merged;
  for (std::uint32_t i = 0; i != kNone; i = scratch.nodes[i].next) {
    merged.symbols.push_back(scratch.nodes[i].symbol);
    merged.starts.push_back(static_cast<std::uint32_t>(begin) + i);
  }
  return merged;
}

bool MergeTable::MayStandBeside(std::span<const int> symbols, const Merged& left, const Merged& right,
                                std::size_t end, Scratch& scratch) const {
  const std::size_t right_end = right.symbols.size() > 1 ? right.starts[1] : end;
  const Merged both = MergePart(symbols, left.starts.back(), right_end, scratch);
  return both.symbols.size() == 2 && both.starts[1] == right.starts[0];
}

bool MergeTable::Join(std::span<const int> symbols, Merged& left, const Merged& right, std::size_t end,
                      Scratch& scratch) const {
  const auto part = [](const Merged& all, std::size_t from, std::size_t to) {
    return Merged{{all.symbols.begin() + from, all.symbols.begin() + to},
                  {all.starts.begin() + from, all.starts.begin() + to}};
  };
  const auto append = [](Merged& to, const Merged& more) {
    to.symbols.insert(to.symbols.end(), more.symbols.begin(), more.symbols.end());
    to.starts.insert(to.starts.end(), more.starts.begin(), more.starts.end());
  };
  if (MayStandBeside(symbols, left, right, end, scratch)) {
    append(left, right);
    return true;
  }
  for (std::size_t reach = 4; reach <= 2 * scratch.block; reach *= 2) {
    const std::size_t keep = left.symbols.size() - std::min(reach, left.symbols.size());
    const std::size_t take = std::min(reach, right.symbols.size());
    const std::size_t stretch_end = take < right.symbols.size() ? right.starts[take] : end;
    const Merged stretch = MergePart(symbols, left.starts[keep], stretch_end, scratch);
    const Merged before = part(left, keep > 0 ? keep - 1 : 0, keep);  // its last symbol is all that counts
    const Merged after = part(right, take, right.symbols.size());
    if (!before.symbols.empty() && !MayStandBeside(symbols, before, stretch, stretch_end, scratch)) continue;
    if (!after.symbols.empty() && !MayStandBeside(symbols, stretch, after, end, scratch)) continue;
    left.symbols.resize(keep);
    left.starts.resize(keep);
    append(left, stretch);
    append(left, after);
    return true;
  }
  return false;
}

void MergeTable::ApplyInBlocks(std::vector<int>& symbols, Scratch& scratch) const {
  Merged all = MergePart(symbols, 0, scratch.block, scratch);
  for (std::size_t begin = scratch.block; begin < symbols.size(); begin += scratch.block) {
    const std::size_t end = std::min(begin + scratch.block, symbols.size());
    if (!Join(symbols, all, MergePart(symbols, begin, end, scratch), end, scratch))
      return ApplyLong(symbols, scratch);
  }
  symbols = std::move(all.symbols);
}

void MergeTable::RunHeap(std::span<const int> symbols, Scratch& scratch) const {
  std::vector<Scratch::Node>& nodes = scratch.nodes;
  std::vector<std::uint64_t>& heap =
      scratch.heap;  // rank << 32 | position; stale once the rank there changed
  const auto count = static_cast<std::uint32_t>(symbols.size());
  nodes.resize(count);
  heap.clear();
  const auto look = [&](std::uint32_t position) {
    Scratch::Node& node = nodes[position];
    node.rank = kNone;
    if (node.next == kNone) return false;
    const Slot& slot = FindAndNote(node.symbol, nodes[node.next].symbol, scratch);
    node.rank = slot.rank;
    node.result = slot.result;
    return slot.rank != kNone;
  };
  const auto entry = [&](std::uint32_t position) {
    return static_cast<std::uint64_t>(nodes[position].rank) << 32 | position;
  };
  const auto queue = [&](std::uint32_t position) {
    if (!look(position)) return;
    heap.push_back(entry(position));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (std::uint32_t i = 0; i < count; ++i)
    nodes[i] = {symbols[i], i == 0 ? kNone : i - 1, i + 1 < count ? i + 1 : kNone, kNone, 0};
  for (std::uint32_t i = 0; i < count; ++i)
    if (look(i)) heap.push_back(entry(i));
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const std::uint64_t best = heap.back();
    heap.pop_back();
    const auto position = static_cast<std::uint32_t>(best);
    Scratch::Node& node = nodes[position];
    if (node.rank != best >> 32) continue;
    Scratch::Node& right = nodes[node.next];
    node.symbol = node.result;
    right.rank = kNone;  // gone
    node.next = right.next;
    if (node.next != kNone) nodes[node.next].previous = position;
    if (node.previous != kNone) queue(node.previous);
    queue(position);
  }
}

void MergeTable::TakeApart(std::vector<int>& symbols, const Scratch& scratch) const {
  std::vector<int> open(symbols.rbegin(), symbols.rend());
  symbols.clear();
  while (!open.empty()) {
    const int symbol = open.back();
    open.pop_back();
    const auto found = scratch.halves.find(symbol);
    if (found == scratch.halves.end()) {
      symbols.push_back(symbol);
    } else {
      open.push_back(found->second.second);
      open.push_back(found->second.first);
    }
  }
}

}  // namespace forge::text
