// SPDX-License-Identifier: Apache-2.0
#include "pipeline/recipe_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace forge::pipeline {
namespace {

using merge::MergeRecipe;

/// "linear x ties x dfs"; a sum of changes, or the changes joined as they are, by one word.
std::string InWords(const MergeRecipe& recipe) {
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

merge::LayerChoice ReadLayer(const std::string& text) {
  constexpr std::string_view kMerged = "merged:", kParent = "parent ";
  if (text.starts_with(kMerged)) return {0, std::stoi(text.substr(kMerged.size()))};
  const std::size_t colon = text.find(':');
  if (!text.starts_with(kParent) || colon == std::string::npos)
    throw Error({.what = "cannot read a recipe of the store",
                 .why = fmt::format("it has the layer \"{}\"", text),
                 .fix = "read it with the forge that wrote it"});
  return {std::stoi(text.substr(kParent.size())), std::stoi(text.substr(colon + 1))};
}

}  // namespace

io::Json RecipeJson(const MergeRecipe& recipe) {
  io::Json layers = io::Json::array();
  for (const merge::LayerChoice& choice : recipe.layers)
    layers.push_back(fmt::format(
        "{}:{}", choice.source == 0 ? "merged" : fmt::format("parent {}", choice.source), choice.layer));
  io::Json json{{"recipe", InWords(recipe)},
                {"coefficients", recipe.coefficients},
                {"joins_parents", recipe.joins_parents},
                {"slerp_t", recipe.slerp_t},
                {"ensemble_weights", recipe.ensemble_weights},
                {"density", recipe.density},
                {"lambda", recipe.lambda},
                {"layers", std::move(layers)}};
  if (recipe.rope_theta) json["rope_theta"] = *recipe.rope_theta;
  return json;
}

MergeRecipe RecipeFromJson(const io::Json& json, int layers) {
  const std::string words = json.at("recipe").get<std::string>();
  const auto has = [&](const char* word) { return words.find(word) != std::string::npos; };
  MergeRecipe recipe{.continuous = has("slerp") ? merge::Continuous::kSlerp : merge::Continuous::kLinear,
                     .ensemble = has("dare") ? merge::Ensemble::kDare : merge::Ensemble::kTies,
                     .structure = has("dfs") ? merge::Structure::kDataFlow : merge::Structure::kFrankenmerge};
  recipe.coefficients = json.at("coefficients").get<std::vector<std::vector<double>>>();
  recipe.joins_parents = json.value("joins_parents", words == "ties" || words == "dare");
  recipe.slerp_t = json.value("slerp_t", recipe.slerp_t);
  std::vector<double> alone(recipe.coefficients.size() + 1, 0.0);
  alone[0] = 1;
  recipe.ensemble_weights = json.value("ensemble_weights", alone);
  recipe.density = json.value("density", 1.0);
  recipe.lambda = json.value("lambda", 1.0);
  if (json.contains("rope_theta")) recipe.rope_theta = json.at("rope_theta").get<double>();
  for (const io::Json& layer : json.value("layers", io::Json::array()))
    recipe.layers.push_back(ReadLayer(layer.get<std::string>()));
  if (recipe.layers.empty())
    for (int layer = 0; layer < layers; ++layer) recipe.layers.push_back({0, layer});
  return recipe;
}

}  // namespace forge::pipeline
