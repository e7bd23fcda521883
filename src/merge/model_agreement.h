// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "model/weight_source.h"

namespace forge::merge {

/// Throws Error(kInput) with every difference between models[first] and another that makes a merge of them
/// no model: shapes, vocabulary, tied heads, and, unless `as_mergekit`, positions and norms. The number of
/// layers may differ. Differences that the result settles by taking the value of models[first] are returned,
/// a sentence each. `source` names the config.
std::vector<std::string> CheckAgreement(const std::vector<std::string>& names,
                                        const std::vector<const model::WeightSource*>& models,
                                        std::size_t first, bool as_mergekit, const std::string& source);

}  // namespace forge::merge
