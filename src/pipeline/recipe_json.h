// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/json_file.h"
#include "merge/recipe.h"

namespace forge::pipeline {

/// A recipe as the store keeps it with a candidate: in words, with its numbers, and the layers by name
/// ("merged:0", "parent 1:3"). Readers of the store may show it as it is.
io::Json RecipeJson(const merge::MergeRecipe& recipe);

/// Back again, without dare_seed; the steps and the structure are the same as the ones written.
///   layers  of the base, for recipes that an older forge wrote without any
/// Throws Error(kInput) for what is no recipe.
merge::MergeRecipe RecipeFromJson(const io::Json& json, int layers);

}  // namespace forge::pipeline
