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
  /// WeightedMean of all items; of those that left, what is expected of it: the mean of the survivors plus
  /// what the candidate was behind them on the items that it was measured on.
  std::vector<double> means;
};

/// Measures models on a quarter, then half, then all items of a measure (whose `first` is 0). After each part
/// those leave that are surely not among the best `num_kept` (SurvivorsOfRace, on the items so far, weighted
/// as in WeightedMean). The same items for all, so the tests are paired. With num_kept or fewer models
/// nothing is dropped, and all is measured at once.
CandidateRace RaceCandidates(EvolveCandidates& candidates, const std::vector<ModelChoice>& models,
                             const Measure& measure, std::size_t num_kept, const evolve::RaceConfig& config);

}  // namespace forge::pipeline
