// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "merge/dare.h"
#include "merge/linear.h"
#include "merge/recipe.h"
#include "merge/slerp.h"
#include "merge/ties.h"
#include "model/testing_models.h"

namespace forge::merge {
namespace {

using model::testing::RandomWeights;
using model::testing::TinyConfig;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

TEST(Linear, AddsWeightedChanges) {
  const std::vector<float> a{1, 2}, b{10, -20};
  std::vector<float> merged(2);
  Linear({a, b}, std::vector<double>{0.5, 0.1}, merged);
  EXPECT_THAT(merged, Pointwise(FloatNear(1e-6f), {1.5f, -1.0f}));
}

TEST(Slerp, ReturnsTheFirstModelWhenTIsZeroAndTheSecondWhenItIsOne) {
  const std::vector<float> a{1, 2, 3}, b{-3, 0, 1};
  std::vector<float> out(3);
  Slerp(a, b, 0, out);
  EXPECT_THAT(out, Pointwise(FloatNear(1e-6f), a));
  Slerp(a, b, 1, out);
  EXPECT_THAT(out, Pointwise(FloatNear(1e-6f), b));
}

// Orthogonal unit vectors at t = 1/2: both weights are sin(45 deg) / sin(90 deg) = 0.70711.
// At an angle of 120 deg: sin(60) / sin(120) = 1, so (1, 0) and (-1/2, sqrt(3)/2) give (1/2, sqrt(3)/2):
// the original's absolute dot product would have used 60 deg.
TEST(Slerp, MatchesTheExamplesWorkedByHand) {
  std::vector<float> out(2);
  Slerp(std::vector<float>{1, 0}, std::vector<float>{0, 1}, 0.5, out);
  EXPECT_THAT(out, Pointwise(FloatNear(1e-6f), {0.70710678f, 0.70710678f}));
  Slerp(std::vector<float>{1, 0}, std::vector<float>{-0.5f, 0.8660254f}, 0.5, out);
  EXPECT_THAT(out, Pointwise(FloatNear(1e-5f), {0.5f, 0.8660254f}));
}

TEST(Slerp, IsLinearForParallelAndZeroVectors) {
  std::vector<float> out(2);
  Slerp(std::vector<float>{1, 1}, std::vector<float>{3, 3}, 0.25, out);
  EXPECT_THAT(out, ElementsAre(1.5f, 1.5f));
  Slerp(std::vector<float>{0, 0}, std::vector<float>{4, 8}, 0.25, out);
  EXPECT_THAT(out, ElementsAre(1.0f, 2.0f));
  Slerp(std::vector<float>{1, 2}, std::vector<float>{-1, -2}, 0.5, out);
  EXPECT_THAT(out, ElementsAre(0.0f, 0.0f));
}

TEST(TrimByMagnitude, KeepsTheLargestAndBreaksTiesByIndex) {
  EXPECT_THAT(TrimByMagnitude(std::vector<float>{0.1f, -5, 3, 0.2f}, 0.5), ElementsAre(0, -5, 3, 0));
  EXPECT_THAT(TrimByMagnitude(std::vector<float>{2, -2, 2, 2}, 0.5), ElementsAre(2, -2, 0, 0));
  EXPECT_THAT(TrimByMagnitude(std::vector<float>{1, 2}, 0.01), ElementsAre(0, 2));
  EXPECT_THAT(TrimByMagnitude(std::vector<float>{0, 0}, 1), ElementsAre(0, 0));
}

// Weight 0: 3 and 1 agree, -2 is outvoted (sum 2): mean 2. Weight 1: -4 against 1: -4. Weight 2: 2 and -2
// cancel: 0. Weight 3 is trimmed away in the first two models (density 3/4 keeps the three largest of each).
TEST(Ties, MatchesTheExampleWorkedByHand) {
  const std::vector<float> a{3, -4, 2, 0.5f}, b{1, 1, -2, 0.5f}, c{-2, 0, 0, 6};
  std::vector<float> merged(4);
  Ties({a, b, c}, std::vector<double>{1, 1, 1}, 0.75, merged);
  EXPECT_THAT(merged, ElementsAre(2, -4, 0, 6));
}

TEST(Dare, KeepsTheExpectationAndDropsTheAskedShare) {
  const std::vector<float> ones(100'000, 1.0f);
  std::vector<float> merged(ones.size());
  Dare({ones}, std::vector<double>{1}, 0.3, 1, "w", merged);
  double sum = 0;
  for (const float value : merged) {
    EXPECT_TRUE(value == 0 || std::abs(value - 1 / 0.7f) < 1e-6f);
    sum += static_cast<double>(value);
  }
  EXPECT_NEAR(sum / 1e5, 1, 0.011);  // sd of the mean: sqrt(0.3/0.7/1e5) = 0.0021; 5 of them
  std::vector<float> again(ones.size());
  Dare({ones}, std::vector<double>{1}, 0.3, 1, "w", again);
  EXPECT_EQ(again, merged);
  Dare({ones}, std::vector<double>{1}, 0.3, 2, "w", again);
  EXPECT_NE(again, merged);
}

class Recipe : public testing::Test {
 protected:
  Recipe() {
    sources_ = {&config_, &base_, {&first_, &second_}};
    recipe_.coefficients = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
    recipe_.ensemble_weights = {1, 0, 0};
    for (int layer = 0; layer < config_.num_hidden_layers; ++layer) recipe_.layers.push_back({0, layer});
  }
  model::ModelConfig config_ = TinyConfig();
  model::ModelWeights base_ = RandomWeights(config_, 1), first_ = RandomWeights(config_, 2),
                      second_ = RandomWeights(config_, 3);
  MergeSources sources_;
  MergeRecipe recipe_;
};

TEST_F(Recipe, OfEqualCoefficientsIsTheUniformAverage) {
  const MergedModel merged = ApplyRecipe(recipe_, sources_);
  for (const auto& [name, tensor] : merged.weights)
    for (std::size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_NEAR(tensor.values[i], (first_[name].values[i] + second_[name].values[i]) / 2, 1e-6);
}

TEST_F(Recipe, AppliesCoefficientsByComponentGroup) {
  recipe_.coefficients = {{1, 0, 0}, {0, 1, 0}};
  const MergedModel merged = ApplyRecipe(recipe_, sources_);
  const auto expect_near = [&](const std::string& name, const model::ModelWeights& source) {
    for (std::size_t i = 0; i < merged.weights.at(name).values.size(); ++i)
      ASSERT_NEAR(merged.weights.at(name).values[i], source.at(name).values[i], 1e-6) << name;
  };
  expect_near("model.layers.1.self_attn.q_proj.weight", first_);
  expect_near("model.layers.1.mlp.up_proj.weight", second_);
  expect_near("model.embed_tokens.weight", base_);
}

TEST_F(Recipe, StacksLayersByThePath) {
  recipe_.structure = Structure::kDataFlow;
  recipe_.layers = {{1, 1}, {0, 0}, {2, 0}};
  const MergedModel merged = ApplyRecipe(recipe_, sources_);
  EXPECT_EQ(merged.config.num_hidden_layers, 3);
  EXPECT_EQ(merged.weights.at("model.layers.0.mlp.up_proj.weight"),
            first_.at("model.layers.1.mlp.up_proj.weight"));
  EXPECT_EQ(merged.weights.at("model.layers.2.mlp.up_proj.weight"),
            second_.at("model.layers.0.mlp.up_proj.weight"));
  model::CheckWeights(merged.config, merged.weights, "merged");
  recipe_.layers = {{3, 0}};
  EXPECT_THROW(ApplyRecipe(recipe_, sources_), Error);
}

TEST_F(Recipe, GivesTheSameBytesAgainForEverySeedOfTheOriginal) {
  recipe_.ensemble_weights = {1, 0.5, 0.5};
  recipe_.density = 0.7;
  for (const Continuous continuous : {Continuous::kLinear, Continuous::kSlerp})
    for (const Ensemble ensemble : {Ensemble::kTies, Ensemble::kDare}) {
      recipe_.continuous = continuous;
      recipe_.ensemble = ensemble;
      const MergedModel once = ApplyRecipe(recipe_, sources_);
      EXPECT_TRUE(once.weights == ApplyRecipe(recipe_, sources_).weights);
      EXPECT_FALSE(once.weights == base_);
    }
}

}  // namespace
}  // namespace forge::merge
