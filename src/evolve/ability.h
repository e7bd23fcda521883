// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace forge::evolve {

/// One item of the two-parameter logistic model (Birnbaum 1968): a candidate of ability theta answers it with
/// probability P = 1 / (1 + exp(-discrimination (theta - difficulty))).
struct AbilityItem {
  double discrimination = 1;  // > 0
  double difficulty = 0;
};

double AnswerProbability(const AbilityItem& item, double ability);

/// discrimination^2 P (1 - P): what an answer says about ability near `ability`. For the choice of items.
double ItemInformation(const AbilityItem& item, double ability);

struct AbilityEstimate {
  double ability = 0;
  double standard_error = 0;  // 1 / sqrt(information + 1 / prior_deviation^2)
};

struct AbilityPrior {
  double mean = 0, deviation = 1;
};

/// Maximum a posteriori ability (Newton's method on a concave function; at most 100 halved steps) of a
/// candidate with these answers, with a normal prior. `answers` in [0, 1] (a share, where an item is asked
/// more than once), one for each item; NaN: not asked. Without answers: the prior. Unlike the mean score it
/// takes from each item what the item is worth, and is drawn to the prior where little is known, which is
/// what takes the winner's curse from a search that keeps the best of many (MERGE3, Mencattini et al. 2025,
/// arXiv:2502.10436, with prior mean = sum of merge weight * parent's ability).
AbilityEstimate EstimateAbility(std::span<const AbilityItem> items, std::span<const double> answers,
                                const AbilityPrior& prior = {});

/// Mean probability over the items: the score that a candidate of this ability is expected to have on them,
/// asked or not.
double ExpectedScore(std::span<const AbilityItem> items, double ability);

struct AbilityFit {
  std::vector<AbilityItem> items;
  std::vector<AbilityEstimate> anchors;  // abilities have about mean 0 and deviation 1
};

/// Items and abilities from the answers of anchors (parents, earlier candidates): answers[anchor][item], as
/// in EstimateAbility. Alternates between abilities (prior N(0, 1), which fixes origin and scale) and, item
/// by item, (ln discrimination, difficulty) with priors N(0, 0.3^2) and N(0, 1): joint MAP. The priors
/// matter: a handful of anchors says little about one item, and an item that all or none answered would
/// otherwise go to infinity. At most 50 rounds, or until no ability moves by 1e-6. O(rounds * anchors *
/// items). Throws Error if an answer is outside [0, 1] or the rows have different lengths.
AbilityFit FitAbilityItems(const std::vector<std::vector<double>>& answers);

}  // namespace forge::evolve
