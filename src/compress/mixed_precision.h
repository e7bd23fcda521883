// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace forge::compress {

/// The ways a unit of linears could be stored: bytes, and what each costs (nats of divergence, alone).
struct StorageChoice {
  std::uint64_t bytes;
  double divergence;
};

/// One choice for each unit, within `most_bytes` in all: from the smallest choice of every unit, the upgrade
/// with the largest fall of divergence per byte is taken first (each unit's choices that lie above its lower
/// convex hull are never worth it), as long as it fits; upgrades that do not fit are passed over. Greedy over
/// hulls is within one unit's largest step of the best for divergences that add up (Dantzig's bound).
///   units    [units][choices], at least one each, in any order
/// Returns the index of the choice by unit. Throws Error(kUsage) if not even the smallest fit.
std::vector<std::size_t> ChooseStorage(const std::vector<std::vector<StorageChoice>>& units,
                                       std::uint64_t most_bytes);

}  // namespace forge::compress
