// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "merge/testing_recipe_sources.h"
#include "model/testing_models.h"

namespace forge::pipeline {
namespace {

using testing::ElementsAre;

constexpr MergeSpace::Shape kShape{.parents = 2, .layers = 4, .layer_groups = 2};

TEST(MergeSpace, HasAGeneForEachCoefficientOfItsLevel) {
  EXPECT_EQ(MergeSpace(MergeLevel::kModels, kShape).box().size(), 2u);
  EXPECT_EQ(MergeSpace(MergeLevel::kComponents, kShape).box().size(), 6u);
  EXPECT_EQ(MergeSpace(MergeLevel::kLayers, kShape).box().size(), 12u);
  MergeSpace::Shape with_method = kShape;
  with_method.with_method = true;
  EXPECT_EQ(MergeSpace(MergeLevel::kModels, with_method).box().size(), 5u);
}

TEST(MergeSpace, SetsTheCoefficientsOfARecipe) {
  const merge::MergeRecipe recipe = MergeSpace(MergeLevel::kModels, kShape).ToRecipe({0.5, 0.7}, 3);
  EXPECT_THAT(recipe.coefficients, ElementsAre(ElementsAre(0.5, 0.5, 0.5), ElementsAre(0.7, 0.7, 0.7)));
  EXPECT_EQ(recipe.layers.size(), 4u);
  EXPECT_FALSE(recipe.joins_parents);
}

TEST(MergeSpace, ChoosesTheMethodByAGene) {
  MergeSpace::Shape shape = kShape;
  shape.with_method = true;
  const MergeSpace space(MergeLevel::kModels, shape);
  EXPECT_FALSE(space.ToRecipe({0.5, 0.7, 0.9, 0.4, 1.2}, 3).joins_parents);
  const merge::MergeRecipe ties = space.ToRecipe({0.5, 0.7, 1.1, 0.4, 1.2}, 3);
  EXPECT_TRUE(ties.joins_parents);
  EXPECT_EQ(ties.ensemble, merge::Ensemble::kTies);
  EXPECT_EQ(ties.density, 0.4);
  EXPECT_EQ(ties.lambda, 1.2);
  EXPECT_EQ(space.ToRecipe({0.5, 0.7, 3, 0.4, 1.2}, 3).ensemble, merge::Ensemble::kDare);
}

/// Two parents of a base, all random.
struct Models {
  static model::ModelConfig Config() {
    model::ModelConfig config = model::testing::TinyConfig();
    config.num_hidden_layers = 4;
    return config;
  }
  model::ModelConfig config = Config();
  model::ModelWeights base = model::testing::RandomWeights(config, 1);
  std::vector<model::ModelWeights> parents{model::testing::RandomWeights(config, 2),
                                           model::testing::RandomWeights(config, 3)};
  merge::testing::SourcesInMemory sources{config, base, {&parents[0], &parents[1]}};
};

TEST(MergeSpace, StandsForTheSameMergeAfterRefining) {
  const Models models;
  MergeSpace::Shape shape = kShape;
  shape.with_method = true;
  const MergeSpace coarse(MergeLevel::kModels, shape), fine(MergeLevel::kComponents, shape),
      finest(MergeLevel::kLayers, shape);
  const std::vector<double> point{0.3, 0.9, 0.5, 0.8, 1.1};
  const std::vector<double> refined = fine.Refine(coarse, point), twice = finest.Refine(fine, refined);
  const auto merged = merge::ApplyRecipe(coarse.ToRecipe(point, 1), models.sources);
  EXPECT_EQ(merge::ApplyRecipe(fine.ToRecipe(refined, 1), models.sources).weights, merged.weights);
  EXPECT_EQ(merge::ApplyRecipe(finest.ToRecipe(twice, 1), models.sources).weights, merged.weights);
}

TEST(MergeSpace, GivesEachGroupOfLayersItsOwnCoefficients) {
  const Models models;
  const MergeSpace space(MergeLevel::kLayers, kShape);
  std::vector<double> point(12, 0.0);
  point[0] = 1;  // attention of parent 1 in the first two of four layers
  const auto merged = merge::ApplyRecipe(space.ToRecipe(point, 1), models.sources).weights;
  for (const auto& [name, tensor] : merged) {
    const bool changed = name.find(".self_attn.") != std::string::npos &&
                         (name.starts_with("model.layers.0.") || name.starts_with("model.layers.1."));
    const model::Tensor& expected = (changed ? models.parents[0] : models.base).at(name);
    for (std::size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_NEAR(tensor.values[i], expected.values[i], 1e-6) << name;
  }
}

TEST(MergeSpace, SearchesRopeThetaBetweenThoseOfTheParents) {
  MergeSpace::Shape shape = kShape;
  shape.rope_thetas = {10000, 10000, 10000};
  EXPECT_EQ(MergeSpace(MergeLevel::kModels, shape).box().size(), 2u);
  shape.rope_thetas = {500000, 10000, 1e6};
  const MergeSpace space(MergeLevel::kModels, shape);
  EXPECT_EQ(space.box().size(), 3u);
  for (const auto& start : space.StartPoints({1, 1})) {
    EXPECT_TRUE(space.box().Contains(start));
    EXPECT_EQ(space.ToRecipe(start, 1).rope_theta, 500000);  // the base's, to the last bit
  }
  EXPECT_EQ(space.ToRecipe({0, 0, std::log(10000)}, 1).rope_theta, 10000);
  EXPECT_EQ(space.ToRecipe({0, 0, std::log(1e6)}, 1).rope_theta, 1e6);
  EXPECT_EQ(space.ToRecipe({0, 0, std::log(1e5)}, 1).rope_theta, 1e5);
  EXPECT_EQ(space.ToJson({0, 0, std::log(1e5)}, 1)["rope_theta"], 1e5);
  const MergeSpace fine(MergeLevel::kLayers, shape);
  EXPECT_EQ(fine.ToRecipe(fine.Refine(space, {0.5, 0.5, std::log(20000)}), 1).rope_theta, 20000);
}

TEST(MergeSpace, StartsFromParentsAverageAndTaskArithmetic) {
  const MergeSpace space(MergeLevel::kModels, kShape);
  const auto points = space.StartPoints({1.0, 3.0});
  EXPECT_THAT(points.front(), ElementsAre(0.6, 0.6));
  // Inverse norms 1 and 1/3 share 2 * 0.6: 0.9 and 0.3.
  EXPECT_THAT(points, testing::Contains(
                          ElementsAre(testing::DoubleNear(0.9, 1e-12), testing::DoubleNear(0.3, 1e-12))));
  EXPECT_THAT(points, testing::Contains(ElementsAre(0.5, 0.5)));
  EXPECT_THAT(points, testing::Contains(ElementsAre(1.0, 0.0)));
  EXPECT_THAT(points, testing::Contains(ElementsAre(0.0, 1.0)));
  for (const auto& point : points) EXPECT_TRUE(space.box().Contains(point));
}

}  // namespace
}  // namespace forge::pipeline
