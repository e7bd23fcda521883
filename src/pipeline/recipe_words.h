// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/json_file.h"
#include "merge/recipe.h"

namespace forge::pipeline {

/// "linear x ties x frankenmerge"; "task arithmetic" for a plain sum of changes, "ties" or "dare" for changes
/// joined as they are, with " x dfs" where layers are not those of the merged model in their order.
std::string RecipeInWords(const merge::MergeRecipe& recipe);

/// What the store keeps with a candidate: merge::RecipeToJson, which merge::RecipeFromJson reads, and the
/// words as "recipe".
io::Json DescribeRecipe(const merge::MergeRecipe& recipe);

}  // namespace forge::pipeline
