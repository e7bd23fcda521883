// SPDX-License-Identifier: Apache-2.0
#include "pipeline/layer_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/philox.h"
#include "pipeline/box_search.h"
#include "pipeline/testing_search.h"

namespace forge::pipeline {
namespace {

using merge::LayerChoice;
using ::testing::ElementsAre;

std::vector<LayerChoice> Whole(int layers) {
  std::vector<LayerChoice> path;
  for (int layer = 0; layer < layers; ++layer) path.push_back({0, layer});
  return path;
}

TEST(LayerPaths, StartFromTheMergedModelAsItIs) {
  for (const int layers : {1, 2, 5, 24})
    for (const int slices : {1, 4, 7}) {
      const LayerPaths paths(2, layers, slices);
      EXPECT_TRUE(paths.box().Contains(paths.Identity()));
      EXPECT_EQ(paths.Decode(paths.Identity()), Whole(layers)) << layers << " in " << slices;
    }
}

TEST(LayerPaths, DecodeToRunsOfLayersOfTheirSources) {
  const LayerPaths paths(2, 4, 3);
  // Two layers of the merged model from the first on, none, two of parent 2 from layer 2 on.
  EXPECT_THAT(paths.Decode(std::vector<double>{0.9, 0.2, 1.6, 1.5, 3, 0.4, 2, 2.9, 2.4}),
              ElementsAre(LayerChoice{0, 0}, LayerChoice{0, 1}, LayerChoice{2, 2}, LayerChoice{2, 3}));
  // The upper border belongs to the last source and layer; a run ends with the model.
  EXPECT_THAT(paths.Decode(std::vector<double>{3, 4, 4, 0, 0, 2, 0, 0, 0}),
              ElementsAre(LayerChoice{2, 3}, LayerChoice{0, 0}, LayerChoice{0, 1}));
}

TEST(LayerPaths, AreRepairedToAboutTheNumberOfLayers) {
  const LayerPaths paths(1, 4, 2);
  // 4 + 4 layers, at most 5: the last of the longest loses its end in turns, 3 + 2 are left.
  EXPECT_THAT(paths.Decode(std::vector<double>{0, 0, 4, 1, 0, 4}),
              ElementsAre(LayerChoice{0, 0}, LayerChoice{0, 1}, LayerChoice{0, 2}, LayerChoice{1, 0},
                          LayerChoice{1, 1}));
  // 0 layers, at least 3: the first slice grows behind its end, then the second one.
  EXPECT_THAT(paths.Decode(std::vector<double>{0, 2, 0, 1, 3, 0}),
              ElementsAre(LayerChoice{0, 2}, LayerChoice{0, 3}, LayerChoice{1, 3}));
  // Both begin at the end: what is missing comes from before the first slice.
  EXPECT_THAT(paths.Decode(std::vector<double>{0, 3, 0, 1, 3, 0}),
              ElementsAre(LayerChoice{0, 2}, LayerChoice{0, 3}, LayerChoice{1, 3}));
}

TEST(LayerPaths, AreWithinTheBoundsAndTheSameAgainForEveryPoint) {
  Random random(1, "pipeline/layer_paths_test");
  for (const int layers : {1, 2, 7, 24}) {
    const LayerPaths paths(3, layers, 4);
    for (int i = 0; i < 300; ++i) {
      std::vector<double> genes;
      for (const auto& dimension : paths.box().dimensions)
        genes.push_back(dimension.low + (dimension.high - dimension.low) * random.Uniform());
      const std::vector<LayerChoice> path = paths.Decode(genes);
      EXPECT_EQ(path, paths.Decode(genes));
      EXPECT_GE(static_cast<int>(path.size()), std::max(1, layers - 1));
      EXPECT_LE(static_cast<int>(path.size()), layers + layers / 4);
      for (const LayerChoice& choice : path) {
        ASSERT_TRUE(choice.source >= 0 && choice.source <= 3);
        ASSERT_TRUE(choice.layer >= 0 && choice.layer < layers);
      }
    }
  }
}

class PathSearch : public testing::TinySearch {};

TEST_F(PathSearch, ScoresTheOptimumThatItStartsFrom) {
  for (const std::string algorithm : {"cma-es", "nsga2", "map-elites", "random"}) {
    EvolveConfig config;
    config.algorithm = algorithm;
    config.guide_items = 4;
    config.evaluations = 90;
    config.promoted = 1;  // by likelihood others are better
    config.layer_groups = 2;
    config.finest_level = "paths";
    const RunContext context = Context(algorithm);
    EvolveCandidates candidates(*evaluator_, context);
    const MergeCandidate* best = nullptr;  // of the levels before
    const MergeCandidate* start = nullptr;
    int paths = 0;
    const std::vector<MergeCandidate> scored = RunBoxSearch(config, candidates);
    for (const MergeCandidate& candidate : scored) {
      const bool is_path = candidate.genome["level"] == "paths";
      paths += is_path;
      const bool is_start = is_path && candidate.kind == "seed" && candidate.recipe.layers == Whole(2);
      if (is_start && start == nullptr) start = &candidate;
      if (candidate.genome["level"] == "layers" && (best == nullptr || candidate.fitness > best->fitness))
        best = &candidate;
    }
    EXPECT_GT(paths, 1);
    ASSERT_NE(start, nullptr) << algorithm;
    ASSERT_NE(best, nullptr) << algorithm;
    EXPECT_EQ(start->recipe.coefficients, best->recipe.coefficients);
    EXPECT_EQ(start->fitness, best->fitness);
  }
}

}  // namespace
}  // namespace forge::pipeline
