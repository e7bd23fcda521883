// SPDX-License-Identifier: Apache-2.0
#include "pipeline/lineage_recipe.h"

#include <gmock/gmock.h>

#include "io/atomic_file.h"
#include "merge/recipe_steps.h"
#include "merge/testing_recipe_sources.h"
#include "pipeline/recipe_words.h"
#include "pipeline/testing_merges.h"

namespace forge::pipeline {
namespace {

using io::Json;
using merge::Continuous;
using merge::Ensemble;
using merge::LayerChoice;
using ::testing::HasSubstr;

constexpr int kLayers = 4, kParents = 3;

/// A base and three parents, all of random weights, in files and in memory.
class LineageRecipe : public testing::MergeFolder {
 protected:
  LineageRecipe() {
    config_.num_hidden_layers = kLayers;
    config_.tie_word_embeddings = false;
    base_ = model::testing::RandomWeights(config_, 1);
    for (int parent = 0; parent < kParents; ++parent)
      parents_.push_back(model::testing::RandomWeights(config_, static_cast<std::uint64_t>(parent) + 2));
    base_["model.layers.0.mlp.up_proj.weight"].values[0] = -0.0f;
    parents_[0]["model.layers.0.mlp.up_proj.weight"].values[0] = -0.0f;  // copied by a path
  }
  void SetUp() override {
    MergeFolder::SetUp();
    Save("base", config_, base_);
    for (int parent = 0; parent < kParents; ++parent)
      Save(Name(parent), config_, parents_[static_cast<std::size_t>(parent)]);
  }
  merge::testing::SourcesInMemory Sources(const model::ModelWeights& base) const {
    return {config_, base, {&parents_[0], &parents_[1], &parents_[2]}};
  }
  static std::string Name(int parent) { return "parent" + std::to_string(parent + 1); }

  /// Shares of the parents and coefficients by component and `groups` of layers, all different.
  static merge::MergeRecipe Recipe(int groups = 1) {
    merge::MergeRecipe recipe{.ensemble_weights = {1, 0, 0, 0}};
    for (int parent = 0; parent < kParents; ++parent) {
      std::vector<double>& row = recipe.coefficients.emplace_back();
      for (int i = 0; i < groups * merge::kComponentGroups; ++i)
        row.push_back(0.3 + 0.17 * parent - 0.11 * (i % 5));
    }
    recipe.slerp_t = 0.37;
    for (int layer = 0; layer < kLayers; ++layer) recipe.layers.push_back({0, layer});
    return recipe;
  }

  std::string Yaml(const merge::MergeRecipe& recipe) const {
    Json parents = Json::array();
    for (int parent = 0; parent < kParents; ++parent) parents.push_back(Path(Name(parent)));
    return MergekitRecipe(
        {{"champion_recipe", DescribeRecipe(recipe)},
         {"models",
          {{"base", Path("base")}, {"parents", parents}, {"layers", kLayers}, {"stored_as", "float32"}}}});
  }

  /// The weights' file that forge merge makes of the documents.
  std::string Merged(const std::string& yaml) {
    NullMetricSink sink;
    for (merge::MergeConfig& config : merge::ParseMergeConfigs(yaml, "champion.yml")) {
      const std::string name = config.name.empty() ? "out" : config.name;
      ModelMerge merge(std::move(config), {.recipe = yaml, .replace = true}, [&](const std::string& model) {
        return model.starts_with('/') ? std::filesystem::path(model) : folder_ / model;
      });
      merge.Write(folder_ / name, sink, StopToken());
    }
    return io::ReadFile(folder_ / "out/model.safetensors");
  }

  void ExpectTheChampionsBytes(const merge::MergeRecipe& recipe) {
    const std::string yaml = Yaml(recipe);
    SCOPED_TRACE(yaml);
    const merge::MergedModel champion = merge::ApplyRecipe(recipe, Sources(base_));
    model::SaveModelFolder(folder_ / "champion", champion.config, champion.weights, io::FloatType::kF32, "",
                           true);
    EXPECT_TRUE(Merged(yaml) == io::ReadFile(folder_ / "champion/model.safetensors"));
  }

  model::ModelConfig config_ = model::testing::TinyConfig("llama");
  model::ModelWeights base_;
  std::vector<model::ModelWeights> parents_;
};

const std::vector<std::vector<LayerChoice>> kPaths = {
    {{0, 0}, {0, 1}, {0, 2}, {0, 3}},                  // as it is
    {{0, 0}, {2, 1}, {2, 2}, {0, 3}},                  // frankenmerge
    {{1, 0}, {0, 1}, {0, 2}, {3, 3}},                  // parents at both ends
    {{0, 1}, {0, 0}, {1, 2}, {1, 2}, {0, 3}, {0, 3}},  // data flow
    {{3, 2}}};                                         // one layer, of a parent

TEST_F(LineageRecipe, GivesTheChampionsBytesOfEveryClassicRecipeThatItWrites) {
  std::size_t next = 0;  // a path for each, all of them in turns
  for (const Continuous continuous : {Continuous::kLinear, Continuous::kSlerp})
    for (const auto& [ensemble, density] :
         {std::pair{Ensemble::kTies, 1.0}, {Ensemble::kTies, 0.61}, {Ensemble::kDare, 1.0}})
      for (const bool joined : {false, true}) {
        merge::MergeRecipe recipe = Recipe();
        recipe.continuous = continuous;
        recipe.ensemble = ensemble;
        recipe.density = density;
        recipe.lambda = 0.83;
        if (joined) recipe.ensemble_weights = {1, 0.4, 0, 0.7};
        recipe.layers = kPaths[next++ % kPaths.size()];
        ExpectTheChampionsBytes(recipe);
      }
}

TEST_F(LineageRecipe, GivesTheChampionsBytesWhereParentsAreJoinedByLayerGroups) {
  for (const double density : {1.0, 0.45})
    for (const Ensemble ensemble : {Ensemble::kTies, Ensemble::kDare}) {
      if (ensemble == Ensemble::kDare && density < 1) continue;
      merge::MergeRecipe recipe = Recipe(3);
      recipe.joins_parents = true;
      recipe.ensemble = ensemble;
      recipe.density = density;
      recipe.lambda = 1.2;
      ExpectTheChampionsBytes(recipe);
      recipe.joins_parents = false;
      recipe.density = 1;
      ExpectTheChampionsBytes(recipe);
    }
}

TEST_F(LineageRecipe, WritesTheAverageThatStandsForABase) {
  std::vector<merge::MergeStep> average{
      {.method = "linear", .models = {1, 2, 3}, .weights = {{1}, {1}, {1}}}};
  model::ModelWeights mean;
  for (const auto& [name, tensor] : base_)
    mean[name] = {
        tensor.shape,
        merge::ApplyStep(average[0], name,
                         {&parents_[0].at(name), &parents_[1].at(name), &parents_[2].at(name)}, 0, 0)};
  const merge::MergeRecipe recipe = Recipe();
  Json result{{"champion_recipe", DescribeRecipe(recipe)},
              {"models", {{"base", ""}, {"layers", kLayers}, {"stored_as", "float32"}}}};
  for (int parent = 0; parent < kParents; ++parent) result["models"]["parents"].push_back(Path(Name(parent)));
  const merge::MergedModel champion = merge::ApplyRecipe(recipe, Sources(mean));
  model::SaveModelFolder(folder_ / "champion", champion.config, champion.weights, io::FloatType::kF32, "");
  EXPECT_TRUE(Merged(MergekitRecipe(result)) == io::ReadFile(folder_ / "champion/model.safetensors"));
}

TEST_F(LineageRecipe, RefusesRandomDrawsAndRopeThetaByName) {
  const auto error = [&](const merge::MergeRecipe& recipe) {
    try {
      Yaml(recipe);
    } catch (const Error& refused) {
      return std::string(refused.what());
    }
    return std::string("no error");
  };
  merge::MergeRecipe dare = Recipe();
  dare.ensemble = Ensemble::kDare;
  dare.density = 0.9;
  EXPECT_THAT(error(dare), HasSubstr("its DARE step keeps 0.9 of the changes, drawn at random"));
  dare.joins_parents = true;
  EXPECT_THAT(error(dare), HasSubstr("drawn at random"));
  merge::MergeRecipe theta = Recipe();
  theta.rope_theta = 20000;
  EXPECT_THAT(error(theta), HasSubstr("rope theta is 20000"));
}

TEST_F(LineageRecipe, IsSaidInWords) {
  merge::MergeRecipe recipe = Recipe();
  EXPECT_EQ(RecipeInWords(recipe), "task arithmetic");
  recipe.layers = kPaths[1];
  EXPECT_EQ(RecipeInWords(recipe), "task arithmetic x frankenmerge");
  recipe.joins_parents = true;
  recipe.structure = merge::Structure::kDataFlow;
  EXPECT_EQ(RecipeInWords(recipe), "ties x dfs");
  recipe.joins_parents = false;
  recipe.ensemble = Ensemble::kDare;
  recipe.continuous = Continuous::kSlerp;
  EXPECT_EQ(RecipeInWords(recipe), "slerp x dare x dfs");
}

}  // namespace
}  // namespace forge::pipeline
