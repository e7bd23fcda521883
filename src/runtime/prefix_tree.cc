// SPDX-License-Identifier: Apache-2.0
#include "runtime/prefix_tree.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace forge::runtime {

std::vector<std::size_t> OrderByTokens(std::span<const std::vector<int>* const> sequences) {
  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return *sequences[a] < *sequences[b]; });
  return order;
}

std::size_t CommonPrefix(std::span<const int> a, std::span<const int> b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

PrefixTree BuildPrefixTree(std::span<const std::span<const int>> sequences) {
  struct Range {  // sequences [first, last) that are equal up to `depth`, below node `parent`
    std::size_t first, last, depth;
    int parent;
  };
  PrefixTree tree;
  tree.ends.resize(sequences.size());
  std::vector<Range> open;
  if (!sequences.empty()) open.push_back({0, sequences.size(), 0, -1});
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    // In sorted order the first and the last sequence have the least in common.
    const std::size_t end = range.depth + CommonPrefix(sequences[range.first].subspan(range.depth),
                                                       sequences[range.last - 1].subspan(range.depth));
    int node = range.parent;
    if (end > range.depth) {
      node = static_cast<int>(tree.nodes.size());
      tree.nodes.push_back({range.parent, static_cast<int>(range.depth),
                            sequences[range.first].subspan(range.depth, end - range.depth)});
    }
    std::size_t first = range.first;
    for (; first < range.last && sequences[first].size() == end; ++first) {
      FORGE_CHECK(node >= 0);  // no sequence is empty
      tree.ends[first] = node;
    }
    const std::size_t children = open.size();
    while (first < range.last) {
      std::size_t last = first;
      while (last < range.last && sequences[last][end] == sequences[first][end]) ++last;
      FORGE_CHECK(last > first);
      open.push_back({first, last, end, node});
      first = last;
    }
    std::reverse(open.begin() + static_cast<std::ptrdiff_t>(children),
                 open.end());  // the stack gives the last one first
  }
  return tree;
}

}  // namespace forge::runtime
