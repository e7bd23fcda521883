// SPDX-License-Identifier: Apache-2.0
#include "pipeline/ability_ranking.h"

#include <cmath>
#include <numeric>

#include "evolve/ability.h"

namespace forge::pipeline {
namespace {

double PriorMean(const std::vector<evolve::AbilityEstimate>& anchors, const std::vector<double>& shares) {
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  double mean = 0;
  for (std::size_t p = 0; p < shares.size(); ++p)
    mean += anchors[p].ability * (total > 0 ? shares[p] / total : 1 / static_cast<double>(shares.size()));
  return mean;
}

}  // namespace

std::vector<double> ExpectedByAbility(const std::vector<Scores>& anchors,
                                      const std::vector<Scores>& candidates,
                                      const std::vector<std::vector<double>>& shares,
                                      const std::vector<double>& weights) {
  std::vector<double> expected(candidates.size());
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t d = 0; d < weights.size(); ++d) {
    std::vector<std::vector<double>> answers;
    for (const Scores& anchor : anchors) answers.push_back(anchor[d]);
    for (const Scores& candidate : candidates) answers.push_back(candidate[d]);
    const evolve::AbilityFit fit = evolve::FitAbilityItems(answers);
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const evolve::AbilityEstimate estimate = evolve::EstimateAbility(
          fit.items, candidates[c][d], {.mean = PriorMean(fit.anchors, shares[c]), .deviation = 1});
      expected[c] += weights[d] / total * evolve::ExpectedScore(fit.items, estimate.ability);
    }
  }
  return expected;
}

std::vector<double> SharesOf(const merge::MergeRecipe& recipe) {
  std::vector<double> shares;
  for (const std::vector<double>& row : recipe.coefficients) {
    double sum = 0;
    for (const double coefficient : row) sum += std::fabs(coefficient);
    shares.push_back(sum);
  }
  return shares;
}

}  // namespace forge::pipeline
