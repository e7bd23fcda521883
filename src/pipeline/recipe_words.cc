// SPDX-License-Identifier: Apache-2.0
#include "pipeline/recipe_words.h"

#include <algorithm>

#include "merge/recipe_json.h"

namespace forge::pipeline {

std::string RecipeInWords(const merge::MergeRecipe& recipe) {
  const auto is_zero = [](double weight) { return weight == 0; };
  const bool is_sum =
      recipe.continuous == merge::Continuous::kLinear && recipe.density == 1 &&
      std::all_of(recipe.ensemble_weights.begin() + 1, recipe.ensemble_weights.end(), is_zero);
  bool is_stacked = false;
  for (std::size_t layer = 0; layer < recipe.layers.size(); ++layer)
    is_stacked = is_stacked || recipe.layers[layer] != merge::LayerChoice{0, static_cast<int>(layer)};
  const std::string structure = is_stacked ? " x " + merge::Name(recipe.structure) : "";
  if (recipe.joins_parents) return merge::Name(recipe.ensemble) + structure;
  if (is_sum) return "task arithmetic" + structure;
  return merge::Name(recipe.continuous) + " x " + merge::Name(recipe.ensemble) + " x " +
         merge::Name(recipe.structure);
}

io::Json DescribeRecipe(const merge::MergeRecipe& recipe) {
  io::Json json = merge::RecipeToJson(recipe);
  json["recipe"] = RecipeInWords(recipe);
  return json;
}

}  // namespace forge::pipeline
