// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/json_file.h"
#include "merge/recipe.h"

namespace forge::merge {

/// A recipe as text that another process reads back to the same bits, and that is equal for equal recipes.
/// layers [[source, layer], ..].
io::Json RecipeToJson(const MergeRecipe& recipe);

/// The inverse. Throws Error(kInput) that names the field which is missing or of the wrong kind.
MergeRecipe RecipeFromJson(const io::Json& json);

}  // namespace forge::merge
