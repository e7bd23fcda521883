// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "pipeline/evaluation.h"

namespace forge::pipeline {

/// For each domain its items, those that tell most about a candidate first: by their Fisher information in a
/// two-parameter logistic model (evolve/ability.h) at the ability of the best anchor, since candidates worth
/// telling apart are near it or above. Of equals that which is stored first.
///   anchors         [anchors] answers of known models on all items: in [0, 1], or log-probabilities a token,
///                   of which the probability is taken
///   are_logarithms  [domains]
/// O(50 rounds * anchors * items). Few anchors say little about one item; what they say is mostly whether
/// they differ on it.
std::vector<std::vector<int>> ItemsByInformation(const std::vector<Scores>& anchors,
                                                 const std::vector<bool>& are_logarithms);

}  // namespace forge::pipeline
