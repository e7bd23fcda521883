// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "evolve/racing.h"
#include "pipeline/evolve_candidates.h"

namespace forge::pipeline {

struct CandidateRace {
  std::vector<std::size_t> survivors;  // measured on all items, ascending
  std::vector<Scores> scores;          // of every candidate, as far as it was measured
};

/// Scores models by the domains' metric on a quarter, then half, then all items of a split. After each part
/// those leave that are surely not among the best `num_kept` (SurvivorsOfRace, on the items so far, weighted
/// as in WeightedMean). The same items for all, so the tests are paired. With num_kept or fewer models
/// nothing is dropped.
CandidateRace RaceCandidates(EvolveCandidates& candidates, const std::vector<ModelChoice>& models,
                             eval::Split split, std::size_t num_kept, const evolve::RaceConfig& config);

}  // namespace forge::pipeline
