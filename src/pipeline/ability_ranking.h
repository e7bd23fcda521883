// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "pipeline/evaluation.h"

namespace forge::pipeline {

/// What each candidate would score on the items if its answers were what its ability says (2PL, ability.h):
/// the mean over domains, weighted, of the expected score. Items are fitted, domain by domain, on the answers
/// of anchors (parents and references) and of all candidates. The prior of a candidate is the mean of its
/// parents' abilities, weighted by `shares` (MERGE3, arXiv:2502.10436); its deviation is 1.
///   anchors     [anchors] answers in [0, 1]; the parents come first
///   candidates  [candidates]
///   shares      [candidates][parents], not negative; a row of zeros stands for equal shares
///   weights     [domains]
std::vector<double> ExpectedByAbility(const std::vector<Scores>& anchors,
                                      const std::vector<Scores>& candidates,
                                      const std::vector<std::vector<double>>& shares,
                                      const std::vector<double>& weights);

/// How much of a merge comes from each parent: the sum of the magnitudes of its coefficients.
std::vector<double> SharesOf(const merge::MergeRecipe& recipe);

}  // namespace forge::pipeline
