// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace forge::runtime {

/// Token sequences with every common beginning held once (a radix tree): the tokens that a forward pass has
/// to run for all of them together.
struct PrefixTree {
  struct Node {
    int parent;                   // index of a node before this one; -1 at a root
    int position;                 // of the node's first token in its sequences
    std::span<const int> tokens;  // never empty; lives in one of the sequences
  };
  std::vector<Node> nodes;  // depth first: a parent comes before its children
  std::vector<int> ends;    // for each sequence the node that holds its last token, as that node's last one
};

/// The order in which sequences with common beginnings are neighbours: their indices, by tokens. Equal ones
/// keep their order. O(n log n) comparisons.
std::vector<std::size_t> OrderByTokens(std::span<const std::vector<int>* const> sequences);

/// Length of the common beginning of two sequences.
std::size_t CommonPrefix(std::span<const int> a, std::span<const int> b);

/// The tree of sequences that are in the order of OrderByTokens, none empty. At most a few steps for each
/// token.
PrefixTree BuildPrefixTree(std::span<const std::span<const int>> sequences);

}  // namespace forge::runtime
