// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/merge_config.h"

namespace forge::merge {

/// The merges of one file in an order in which each comes after those whose names it uses as models; the
/// one without a name last, the others as they were where both orders would do. Throws Error(kInput) if there
/// is none, if a name is used twice, if two of several have none, and if one uses the name of a merge that
/// needs it.
std::vector<MergeConfig> OrderMerges(std::vector<MergeConfig> configs, const std::string& source);

/// The names of other merges of the file that this one uses as models, with or without an adapter.
std::vector<std::string> MergesUsedBy(const MergeConfig& config, const std::vector<MergeConfig>& all);

}  // namespace forge::merge
