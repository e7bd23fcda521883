// SPDX-License-Identifier: Apache-2.0
#include "merge/recipe_json.h"

#include <fmt/format.h>

#include "base/error.h"

namespace forge::merge {
namespace {

template <class Value>
Value Field(const io::Json& json, const char* name) {
  const auto refuse = [&](const std::string& why) -> Error {
    return Error({.what = "cannot read a merge recipe",
                  .why = why,
                  .fix = "it was written by another version of forge; start the run anew"});
  };
  if (!json.is_object() || !json.contains(name)) throw refuse(fmt::format("it has no {}", name));
  try {
    return json.at(name).get<Value>();
  } catch (const io::Json::exception&) {
    throw refuse(fmt::format("{} is {}", name, json.at(name).dump()));
  }
}

}  // namespace

io::Json RecipeToJson(const MergeRecipe& recipe) {
  io::Json layers = io::Json::array();
  for (const LayerChoice& choice : recipe.layers) layers.push_back({choice.source, choice.layer});
  io::Json json{{"continuous", Name(recipe.continuous)},
                {"ensemble", Name(recipe.ensemble)},
                {"structure", Name(recipe.structure)},
                {"coefficients", recipe.coefficients},
                {"joins_parents", recipe.joins_parents},
                {"slerp_t", recipe.slerp_t},
                {"ensemble_weights", recipe.ensemble_weights},
                {"density", recipe.density},
                {"lambda", recipe.lambda},
                {"layers", std::move(layers)},
                {"dare_seed", recipe.dare_seed}};
  if (recipe.rope_theta) json["rope_theta"] = *recipe.rope_theta;
  return json;
}

MergeRecipe RecipeFromJson(const io::Json& json) {
  const auto is = [&](const char* field, const std::string& name) {
    return Field<std::string>(json, field) == name;
  };
  MergeRecipe recipe{
      .continuous = is("continuous", Name(Continuous::kSlerp)) ? Continuous::kSlerp : Continuous::kLinear,
      .ensemble = is("ensemble", Name(Ensemble::kDare)) ? Ensemble::kDare : Ensemble::kTies,
      .structure =
          is("structure", Name(Structure::kDataFlow)) ? Structure::kDataFlow : Structure::kFrankenmerge,
      .coefficients = Field<std::vector<std::vector<double>>>(json, "coefficients"),
      .joins_parents = Field<bool>(json, "joins_parents"),
      .slerp_t = Field<double>(json, "slerp_t"),
      .ensemble_weights = Field<std::vector<double>>(json, "ensemble_weights"),
      .density = Field<double>(json, "density"),
      .lambda = Field<double>(json, "lambda"),
      .dare_seed = Field<std::uint64_t>(json, "dare_seed")};
  for (const auto& [source, layer] : Field<std::vector<std::pair<int, int>>>(json, "layers"))
    recipe.layers.push_back({source, layer});
  if (json.contains("rope_theta")) recipe.rope_theta = Field<double>(json, "rope_theta");
  return recipe;
}

}  // namespace forge::merge
