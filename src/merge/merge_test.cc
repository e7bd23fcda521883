// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "base/error.h"
#include "base/philox.h"
#include "merge/recipe.h"
#include "merge/recipe_steps.h"
#include "merge/tensor_statistics.h"
#include "merge/testing_recipe_sources.h"
#include "model/testing_models.h"

namespace forge::merge {
namespace {

using model::testing::RandomWeights;
using model::testing::TinyConfig;
using ::testing::ElementsAre;

/// base + what ties or dare_linear make of changes of weight 1.
std::vector<float> Join(const std::string& method, double density, const std::vector<float>& base,
                        const std::vector<std::vector<float>>& models, std::uint64_t seed = 1) {
  MergeStep step{.method = method, .models = {0}, .density = density};
  std::vector<model::Tensor> tensors{{{static_cast<std::int64_t>(base.size())}, base}};
  for (const std::vector<float>& model : models) {
    step.models.push_back(static_cast<int>(tensors.size()));
    step.weights.push_back({1});
    tensors.push_back({tensors[0].shape, model});
  }
  std::vector<const model::Tensor*> inputs;
  for (const model::Tensor& tensor : tensors) inputs.push_back(&tensor);
  return ApplyStep(step, "w", inputs, 0, seed);
}

// Weight 0: 3 and 1 agree, -2 is outvoted (sum 2): mean 2. Weight 1: -4 against 1: -4. Weight 2: 2 and -2
// cancel, which counts as positive: 2. Weight 3 is trimmed away in the first two models (density 3/4 keeps
// the three largest of each).
TEST(ApplyStep, JoinsByTiesAsTheExampleWorkedByHand) {
  const std::vector<float> zero(4), a{3, -4, 2, 0.5f}, b{1, 1, -2, 0.5f}, c{-2, 0, 0, 6};
  EXPECT_THAT(Join("ties", 0.75, zero, {a, b, c}), ElementsAre(2, -4, 2, 6));
}

TEST(ApplyStep, ThinsWithoutRescalingByTheSeed) {
  const std::vector<float> zero(100'000), ones(zero.size(), 1.0f);
  const std::vector<float> thinned = Join("dare_linear", 0.7, zero, {ones});
  double sum = 0;
  for (const float value : thinned) {
    EXPECT_TRUE(value == 0 || value == 1);
    sum += static_cast<double>(value);
  }
  EXPECT_NEAR(sum / 1e5, 0.7, 0.0075);  // sd of the mean: sqrt(0.3 * 0.7 / 1e5) = 0.0015; 5 of them
  EXPECT_EQ(Join("dare_linear", 0.7, zero, {ones}), thinned);
  EXPECT_NE(Join("dare_linear", 0.7, zero, {ones}, 2), thinned);
}

class Recipe : public ::testing::Test {
 protected:
  Recipe() {
    recipe_.coefficients = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
    recipe_.ensemble_weights = {1, 0, 0};
    for (int layer = 0; layer < config_.num_hidden_layers; ++layer) recipe_.layers.push_back({0, layer});
  }
  model::ModelConfig config_ = TinyConfig();
  model::ModelWeights base_ = RandomWeights(config_, 1), first_ = RandomWeights(config_, 2),
                      second_ = RandomWeights(config_, 3);
  testing::SourcesInMemory sources_{config_, base_, {&first_, &second_}};
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

TEST_F(Recipe, IsOneStepWhereNothingIsThinnedOrJoined) {
  recipe_.lambda = 0.5;
  EXPECT_EQ(StepsOf(recipe_).size(), 1u);
  recipe_.density = 0.7;
  EXPECT_EQ(StepsOf(recipe_).back().method, "ties");
  recipe_.ensemble = Ensemble::kDare;
  EXPECT_EQ(StepsOf(recipe_).back().method, "dare_linear");
  EXPECT_THAT(StepsOf(recipe_).back().weights, ElementsAre(ElementsAre(1 / 0.7)));
  recipe_.continuous = Continuous::kSlerp;  // two parts, a slerp, the ensemble
  EXPECT_EQ(StepsOf(recipe_).size(), 4u);
  EXPECT_EQ(StepsOf(recipe_)[2].method, "slerp");
  recipe_.joins_parents = true;
  EXPECT_THAT(StepsOf(recipe_)[0].models, ElementsAre(0, 1, 2));
}

TEST_F(Recipe, SetsTheRopeThetaThatItIsGiven) {
  EXPECT_EQ(ApplyRecipe(recipe_, sources_).config.rope_theta, config_.rope_theta);
  recipe_.rope_theta = 250000;
  EXPECT_EQ(ApplyRecipe(recipe_, sources_).config.rope_theta, 250000);
  recipe_.rope_theta = 0;
  EXPECT_THROW(ApplyRecipe(recipe_, sources_), Error);
}

/// Keeps every table, and knows what it was asked.
class KeptTables : public TensorStatistics {
 public:
  const MagnitudeTable& Magnitudes(std::size_t parent, const std::string& tensor, const Change& change,
                                   std::size_t size) override {
    const std::lock_guard lock(mutex_);
    ++asked;
    const auto key = std::pair(parent, tensor);
    const auto found = tables_.find(key);
    return found != tables_.end() ? found->second
                                  : tables_.emplace(key, MagnitudeTable::Of(change, size)).first->second;
  }
  std::vector<double> ChangeProducts(const std::string&,
                                     const std::function<std::vector<double>()>& make) override {
    return make();
  }
  std::size_t num_tables() const { return tables_.size(); }
  std::size_t asked = 0;

 private:
  std::mutex mutex_;
  std::map<std::pair<std::size_t, std::string>, MagnitudeTable> tables_;
};

TEST_F(Recipe, GivesTheSameBytesWithTablesOfWhatTheParentsChanged) {
  KeptTables tables;
  MergeSources with_tables = sources_;
  with_tables.statistics = &tables;
  recipe_.ensemble_weights = {1, 0.5, 0.25};
  recipe_.coefficients = {{0.5, -0.5, 1}, {0, 0.3, 0.7}};
  for (const double density : {0.07, 0.7, 0.999}) {
    recipe_.density = density;
    EXPECT_EQ(ApplyRecipe(recipe_, with_tables).weights, ApplyRecipe(recipe_, sources_).weights) << density;
  }
  EXPECT_EQ(tables.num_tables(), 2 * base_.size());  // the mixed model has none
  EXPECT_EQ(tables.asked, 3 * tables.num_tables());
  recipe_.ensemble = Ensemble::kDare;  // has no threshold
  ApplyRecipe(recipe_, with_tables);
  EXPECT_EQ(tables.asked, 3 * tables.num_tables());
}

// The mixed model's threshold takes a sample first, those of the parents wait for the pass after it.
TEST(ApplyStep, ThinsLargeTensorsAlikeWithATableOfSomeOfTheModels) {
  const std::size_t size = 300'000;
  Random random(5, "merge_test/tables");
  std::vector<model::Tensor> models(3, model::Tensor{{300, 1000}, std::vector<float>(size)});
  for (model::Tensor& tensor : models)
    for (float& value : tensor.values) value = static_cast<float>(random.Normal());
  const std::vector<const model::Tensor*> inputs = {&models[0], &models[1], &models[2]};
  const MagnitudeTable table =
      MagnitudeTable::Of({{models[2].values.data()}, {models[0].values.data()}}, size);
  for (const double density :
       {0.3, 0.0005}) {  // of the few largest a value counted twice would be another border
    const MergeStep step{.method = "ties", .models = {0, 1, 2}, .weights = {{1}, {1}}, .density = density};
    EXPECT_EQ(ApplyStep(step, "w", inputs, 0, 1, {nullptr, nullptr, &table}),
              ApplyStep(step, "w", inputs, 0, 1))
        << density;
  }
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
