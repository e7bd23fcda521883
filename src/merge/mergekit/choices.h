// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/philox.h"
#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// [n], 1: kept, 0: dropped.
using Mask = std::vector<std::uint8_t>;

/// Keeps the values whose rank, counted from the smallest, is in [low, high). Of equal values the one of the
/// lower index counts as the larger. NaN counts as larger than all, as in torch's sort. No value is negative.
/// Cost: two selections, O(n).
Mask KeepRanks(std::span<const float> values, std::size_t low, std::size_t high);

/// The same, unless mergekit's choice is stored: which of equal values torch's sort puts first is arbitrary.
/// Throws Error(kInput) if what is stored keeps other values than a choice by rank can.
///   source  nothing: the choice is made for all models
Mask KeepRanks(const Operands& operands, std::optional<std::size_t> source, std::span<const float> values,
               std::size_t low, std::size_t high);

/// Keeps element i with probability(i): what is stored, or else drawn with Philox keyed by (seed, tensor,
/// model); the draw of an element depends on its index and on no other element.
template <typename Probability>
Mask KeepAtRandom(const Operands& operands, std::size_t source, Probability probability);

/// What the file of choices has for this tensor; nothing without a file too.
std::optional<Mask> Stored(const Operands& operands, std::optional<std::size_t> source);
/// The numbers of one source of one tensor.
Random DrawsFor(const Operands& operands, std::size_t source);

template <typename Probability>
Mask KeepAtRandom(const Operands& operands, std::size_t source, Probability probability) {
  if (std::optional<Mask> stored = Stored(operands, source)) return *std::move(stored);
  Random random = DrawsFor(operands, source);
  Mask kept(operands.size());
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = random.Uniform() < probability(i);
  return kept;
}

}  // namespace forge::merge::mergekit
