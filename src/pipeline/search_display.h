// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "pipeline/evaluation.h"

namespace forge::pipeline {

struct MergeCandidate;

/// What a search shows while it runs, as series of the store, which terminal, status and dashboard read;
/// steps are generations unless said otherwise:
///   evolve/reference/<domain>/<label>  the mean of a parent, the base or the average, one point at step 0
///   evolve/best/<domain>               the highest mean of a candidate so far
///   evolve/mean/<domain>               the mean over the generation's candidates so far
///   evolve/best_fitness, evolve/mean_fitness  the same of the weighted mean over domains
///   evolve/evaluations_saved           candidates proposed less full evaluations used, by candidates
///   proposed
/// A generation that is over is also a line of the log. Reporting a step again replaces it, so a resumed
/// search that tells the same candidates again ends with the same series. Slashes in names become "_".
class SearchDisplay {
 public:
  /// Both outlive it.
  SearchDisplay(const std::vector<eval::DomainItems>& domains, MetricSink& sink)
      : domains_(domains), sink_(sink) {}

  /// A model that the search starts from. `scores` on the search items by the domains' metric.
  void OnReference(const std::string& label, const Scores& scores);
  /// A candidate that the domains' metric has scored on the search items, in any order of generations.
  void OnScored(const MergeCandidate& candidate, const Scores& scores);
  /// How many candidates were proposed, and what measuring them took, in evaluations of all search items by
  /// the domains' metric.
  void OnCost(std::int64_t proposed, double full_evaluation_equivalents);
  /// The search is over: says what the last generation came to.
  void Finish();

 private:
  struct Generation {
    std::vector<double> totals;  // by domain
    double fitness = 0;          // total
    int count = 0;
  };
  void LogGeneration(int number) const;

  const std::vector<eval::DomainItems>& domains_;
  MetricSink& sink_;
  std::vector<double> best_, best_reference_;  // by domain; empty before the first
  double best_fitness_ = 0;
  std::map<int, Generation> generations_;
};

}  // namespace forge::pipeline
