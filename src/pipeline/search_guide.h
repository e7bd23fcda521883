// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "evolve/search_algorithm.h"
#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_config.h"

namespace forge::pipeline {

/// What a search over coefficients is told of a proposal: which measure, and what is made of its scores.
///
/// With guide `likelihood` that is the gold answers' nats on guide_items of each domain, the first in the
/// config's item_order, with `task` the domains' metric on all search items. The objective is the weighted
/// mean of the domains, to which ternary_weight times the likelihood after rounding to ternary values is
/// added; nsga2 gets each of these on its own. With min_per_domain, what a domain lacks of its best parent
/// less that margin is a violation.
class SearchGuide {
 public:
  /// Measures the parents, if the config has a minimum for each domain; with them base and average on all
  /// search items, if it wants items by information.
  SearchGuide(const EvolveConfig& config, EvolveCandidates& candidates);

  bool IsLikelihood() const { return config_.guide == "likelihood"; }
  bool HasTernary() const { return config_.ternary_weight > 0; }
  Measure MainMeasure() const;
  Measure TernaryMeasure() const;

  /// The objective, for ranking; lower by a thousand for each unit of violation. `ternary` may be empty
  /// without HasTernary.
  double Rank(const Scores& scores, const Scores& ternary) const;
  /// `objective`, if given, stands for the mean of the domains: of a proposal that was not measured whole.
  evolve::Outcome ToOutcome(const Scores& scores, const Scores& ternary, const merge::MergeRecipe& recipe,
                            const double* objective = nullptr) const;

 private:
  /// Has base, average and parents measured on all search items, and sets order_ by that.
  void OrderItems(EvolveCandidates& candidates);
  /// Has the parents measured, and sets floors_ by that.
  void SetFloors(EvolveCandidates& candidates);
  double Objective(const Scores& scores, const Scores& ternary) const;
  double Violation(const Scores& scores) const;
  std::vector<double> Descriptors(const merge::MergeRecipe& recipe) const;

  const EvolveConfig& config_;
  const std::vector<eval::DomainItems>& domains_;
  std::vector<std::vector<int>> order_;  // Measure::order
  std::vector<double> floors_;           // [domains], or empty
};

}  // namespace forge::pipeline
