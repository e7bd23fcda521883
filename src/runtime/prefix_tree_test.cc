// SPDX-License-Identifier: Apache-2.0
#include "runtime/prefix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/philox.h"

namespace forge::runtime {
namespace {

/// The tokens on the way from the root to the end of a node.
std::vector<int> Path(const PrefixTree& tree, int node) {
  std::vector<int> path;
  for (; node >= 0; node = tree.nodes[static_cast<std::size_t>(node)].parent) {
    const PrefixTree::Node& here = tree.nodes[static_cast<std::size_t>(node)];
    path.insert(path.begin(), here.tokens.begin(), here.tokens.end());
  }
  return path;
}

// Against the definition: as many tokens as there are different beginnings, and each sequence is the path to
// its end.
TEST(PrefixTree, HoldsEveryDifferentBeginningOnce) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed, "tree");
    std::vector<std::vector<int>> sequences(1 + random.Below(12));
    for (std::vector<int>& sequence : sequences) {
      sequence.resize(1 + random.Below(7));
      for (int& token : sequence) token = static_cast<int>(random.Below(3));
    }
    std::vector<std::span<const int>> ordered;
    std::vector<const std::vector<int>*> pointers;
    for (const std::vector<int>& sequence : sequences) pointers.push_back(&sequence);
    for (const std::size_t index : OrderByTokens(pointers)) ordered.emplace_back(sequences[index]);
    const PrefixTree tree = BuildPrefixTree(ordered);
    std::set<std::vector<int>> beginnings;
    for (const std::vector<int>& sequence : sequences)
      for (std::size_t length = 1; length <= sequence.size(); ++length)
        beginnings.emplace(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(length));
    std::size_t tokens = 0;
    for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
      const PrefixTree::Node& node = tree.nodes[i];
      ASSERT_LT(node.parent, static_cast<int>(i));
      ASSERT_EQ(static_cast<std::size_t>(node.position), Path(tree, node.parent).size());
      ASSERT_FALSE(node.tokens.empty());
      tokens += node.tokens.size();
    }
    EXPECT_EQ(tokens, beginnings.size());
    for (std::size_t i = 0; i < ordered.size(); ++i)
      EXPECT_EQ(Path(tree, tree.ends[i]), std::vector<int>(ordered[i].begin(), ordered[i].end()));
  }
}

TEST(PrefixTree, OfNothingIsEmpty) { EXPECT_TRUE(BuildPrefixTree({}).nodes.empty()); }

// Two thousand sequences, each the beginning of the next: deep trees must not cost a stack of calls.
TEST(PrefixTree, IsBuiltForALongChain) {
  std::vector<int> longest(2000, 7);
  std::vector<std::span<const int>> sequences;
  for (std::size_t length = 1; length <= longest.size(); ++length)
    sequences.push_back(std::span(longest).first(length));
  const PrefixTree tree = BuildPrefixTree(sequences);
  EXPECT_EQ(tree.nodes.size(), longest.size());
  EXPECT_EQ(tree.ends.back(), static_cast<int>(longest.size()) - 1);
}

}  // namespace
}  // namespace forge::runtime
