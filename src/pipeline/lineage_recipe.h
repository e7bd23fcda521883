// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"
#include "track/store.h"

namespace forge::pipeline {

/// What the evolve stage of a run ended with; null if it has not.
io::Json EvolveResult(track::Store& store, const std::string& run);

/// The champion of a search as mergekit configs, a document for each step of its recipe and one for its
/// layers (merge/recipe_steps.h); a recipe of one step is a single document. `forge merge` makes the
/// champion's bytes of them; mergekit (mergekit-multi for several documents) makes the same weights within
/// rounding in float32, but for changes that TIES' border or vote decides by less than that.
///   result  EvolveResult
/// Throws Error(kInput) naming what mergekit's language cannot say: which changes a DARE step draws, and a
/// rope theta between those of the parents.
std::string MergekitRecipe(const io::Json& result);

}  // namespace forge::pipeline
