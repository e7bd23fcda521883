// SPDX-License-Identifier: Apache-2.0
#include "text/merge_table.h"

#include <algorithm>
#include <bit>

namespace forge::text {
namespace {

std::uint64_t Pair(int left, int right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;  // 2^64 / phi, Knuth's multiplicative hash

/// A merge that was possible when it was queued; stale once either token has changed.
struct Candidate {
  int rank, position, left, right, result;
  bool operator<(const Candidate& other) const {  // the heap has its largest on top
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

struct Link {
  int previous, next;  // -1: none
};

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(2, 2 * merges.size()));
  slots_.resize(capacity);
  shift_ = 64 - std::countr_zero(capacity);
  int rank = 0;
  for (const Merge& merge : merges) {
    const std::uint64_t pair = Pair(merge.left, merge.right);
    std::size_t i = (pair * kGoldenRatio) >> shift_;
    while (slots_[i].rank >= 0 && slots_[i].pair != pair) i = (i + 1) & (capacity - 1);
    if (slots_[i].rank < 0) slots_[i] = {pair, rank, merge.result};
    ++rank;
  }
}

const MergeTable::Slot* MergeTable::Find(int left, int right) const {
  const std::uint64_t pair = Pair(left, right);
  for (std::size_t i = (pair * kGoldenRatio) >> shift_; slots_[i].rank >= 0;
       i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].pair == pair) return &slots_[i];
  return nullptr;
}

void MergeTable::Apply(std::vector<int>& tokens) const {
  const int count = static_cast<int>(tokens.size());
  if (count < 2) return;
  thread_local std::vector<Link> links;
  thread_local std::vector<Candidate> heap;
  links.resize(tokens.size());
  heap.clear();
  const auto queue = [&](int position) {
    const int next = links[position].next;
    if (next < 0) return;
    const Slot* slot = Find(tokens[position], tokens[next]);
    if (slot == nullptr) return;
    heap.push_back({slot->rank, position, tokens[position], tokens[next], slot->result});
    std::push_heap(heap.begin(), heap.end());
  };
  for (int i = 0; i < count; ++i) links[i] = {i - 1, i + 1 < count ? i + 1 : -1};
  for (int i = 0; i < count; ++i) queue(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    const int next = tokens[best.position] == best.left ? links[best.position].next : -1;
    if (next < 0 || tokens[next] != best.right) continue;
    tokens[best.position] = best.result;
    tokens[next] = -1;
    links[best.position].next = links[next].next;
    if (links[next].next >= 0) links[links[next].next].previous = best.position;
    queue(best.position);
    if (links[best.position].previous >= 0) queue(links[best.position].previous);
  }
  std::erase(tokens, -1);
}

}  // namespace forge::text
