// SPDX-License-Identifier: Apache-2.0
#include "merge/recipe_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace forge::merge {
namespace {

MergeRecipe Unusual() {
  return {.continuous = Continuous::kSlerp,
          .ensemble = Ensemble::kDare,
          .structure = Structure::kDataFlow,
          .coefficients = {{0.1, 1.0 / 3, -0.2}, {1e-17, 2, 0.7}},
          .joins_parents = true,
          .slerp_t = 0.3,
          .ensemble_weights = {1, 0.25, 0.1 + 0.2},
          .density = 0.9,
          .lambda = 1.1,
          .layers = {{0, 3}, {2, 1}, {1, 0}},
          .rope_theta = 12345.678,
          .dare_seed = 18446744073709551615u};
}

TEST(RecipeJson, KeepsEveryBit) {
  const MergeRecipe recipe = Unusual();
  const MergeRecipe again = RecipeFromJson(io::Json::parse(RecipeToJson(recipe).dump()));
  EXPECT_EQ(again.continuous, recipe.continuous);
  EXPECT_EQ(again.ensemble, recipe.ensemble);
  EXPECT_EQ(again.structure, recipe.structure);
  EXPECT_EQ(again.coefficients, recipe.coefficients);
  EXPECT_EQ(again.joins_parents, recipe.joins_parents);
  EXPECT_EQ(again.slerp_t, recipe.slerp_t);
  EXPECT_EQ(again.ensemble_weights, recipe.ensemble_weights);
  EXPECT_EQ(again.density, recipe.density);
  EXPECT_EQ(again.lambda, recipe.lambda);
  EXPECT_EQ(again.layers, recipe.layers);
  EXPECT_EQ(again.rope_theta, recipe.rope_theta);
  EXPECT_EQ(again.dare_seed, recipe.dare_seed);
  EXPECT_EQ(RecipeToJson(MergeRecipe{}), RecipeToJson(RecipeFromJson(RecipeToJson(MergeRecipe{}))));
}

TEST(RecipeJson, NamesTheFieldThatIsWrong) {
  const auto why = [](const io::Json& json) -> std::string {
    try {
      RecipeFromJson(json);
    } catch (const Error& error) {
      return error.fields().why;
    }
    return "read";
  };
  io::Json json = RecipeToJson(Unusual());
  EXPECT_EQ(why(json), "read");
  json["density"] = "high";
  EXPECT_EQ(why(json), "density is \"high\"");
  json.erase("density");
  EXPECT_EQ(why(json), "it has no density");
  EXPECT_EQ(why(io::Json::array()), "it has no continuous");
}

}  // namespace
}  // namespace forge::merge
