// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"
#include "track/store.h"

namespace forge::pipeline {

/// What the evolve stage of a run ended with; null if it has not.
io::Json EvolveResult(track::Store& store, const std::string& run);

/// The champion of a search as a mergekit config (task_arithmetic, ties or dare_linear over slices, weights
/// by filters) of which `forge merge` makes the champion's weights: the same bytes for sums and, by mergekit
/// in float32, the same within rounding.
///   result  EvolveResult
/// Throws Error(kInput) for a champion that mergekit's language cannot say, naming what it is that cannot be
/// said: recipes of the classic search, and those that join changes by TIES or DARE.
std::string MergekitRecipe(const io::Json& result);

}  // namespace forge::pipeline
