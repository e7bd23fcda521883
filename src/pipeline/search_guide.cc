// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_guide.h"

#include <algorithm>

#include "eval/evaluator.h"
#include "pipeline/ability_ranking.h"
#include "pipeline/box_algorithm.h"
#include "pipeline/informative_items.h"
#include "pipeline/merge_genome.h"

namespace forge::pipeline {
namespace {

constexpr double kPenalty = 1e3;  // of a violation: what is not allowed is never promoted first

}  // namespace

SearchGuide::SearchGuide(const EvolveConfig& config, EvolveCandidates& candidates)
    : config_(config), domains_(candidates.domains()) {
  if (config_.item_order == "information") OrderItems(candidates);
  if (config_.min_per_domain >= 0) SetFloors(candidates);
}

void SearchGuide::OrderItems(EvolveCandidates& candidates) {
  std::vector<ModelChoice> anchors{
      ModelChoice::Base(),
      ModelChoice::Merge(UniformRecipe(candidates.num_parents(), candidates.num_layers()))};
  for (std::size_t p = 0; p < candidates.parents().size(); ++p) anchors.push_back(ModelChoice::Parent(p));
  std::vector<Evaluation> evaluations;
  for (const ModelChoice& anchor : anchors) evaluations.push_back({anchor, {.likelihood = IsLikelihood()}});
  std::vector<bool> are_logarithms;
  for (const eval::DomainItems& domain : domains_)
    are_logarithms.push_back(IsLikelihood() || domain.metric == eval::Metric::kNegativeLogLikelihood);
  order_ = ItemsByInformation(candidates.Score(evaluations), are_logarithms);
}

void SearchGuide::SetFloors(EvolveCandidates& candidates) {
  floors_.assign(domains_.size(), -1e300);
  std::vector<Evaluation> evaluations;
  for (std::size_t p = 0; p < candidates.parents().size(); ++p)
    evaluations.push_back({ModelChoice::Parent(p), MainMeasure()});
  for (const Scores& scores : candidates.Score(evaluations))
    for (std::size_t d = 0; d < floors_.size(); ++d)
      floors_[d] = std::max(floors_[d], eval::Mean(scores[d]) - config_.min_per_domain);
}

Measure SearchGuide::MainMeasure() const {
  return {.likelihood = IsLikelihood(), .items = IsLikelihood() ? config_.guide_items : 0, .order = order_};
}

Measure SearchGuide::TernaryMeasure() const {
  return {.likelihood = true, .items = config_.guide_items, .ternary = true, .order = order_};
}

double SearchGuide::Objective(const Scores& scores, const Scores& ternary) const {
  const double main = WeightedMean(domains_, scores);
  return HasTernary() ? main + config_.ternary_weight * WeightedMean(domains_, ternary) : main;
}

double SearchGuide::Violation(const Scores& scores) const {
  double violation = 0;
  for (std::size_t d = 0; d < floors_.size(); ++d)
    violation += std::max(0.0, floors_[d] - eval::Mean(scores[d]));
  return violation;
}

double SearchGuide::Rank(const Scores& scores, const Scores& ternary) const {
  return Objective(scores, ternary) - kPenalty * Violation(scores);
}

evolve::Outcome SearchGuide::ToOutcome(const Scores& scores, const Scores& ternary,
                                       const merge::MergeRecipe& recipe, const double* objective) const {
  evolve::Outcome outcome{.violation = Violation(scores)};
  if (config_.algorithm == "nsga2") {
    for (const std::vector<double>& domain : scores) outcome.objectives.push_back(eval::Mean(domain));
    if (HasTernary()) outcome.objectives.push_back(WeightedMean(domains_, ternary));
  } else {
    outcome.objectives = {objective != nullptr ? *objective : Objective(scores, ternary)};
  }
  if (config_.algorithm == "map-elites") outcome.descriptors = Descriptors(recipe);
  return outcome;
}

std::vector<double> SearchGuide::Descriptors(const merge::MergeRecipe& recipe) const {
  std::vector<double> shares = SharesOf(recipe);
  double total = 0;
  for (const double share : shares) total += share;
  for (double& share : shares) share = total > 0 ? share / total : 0;
  shares.resize(NumDescriptors(domains_.size()));
  return shares;
}

}  // namespace forge::pipeline
