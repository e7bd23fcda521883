// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evolve/generation_search.h"
#include "evolve/plateau.h"

namespace forge::evolve {
namespace {

const GenomeSpace kSpace{.choice_sizes = {2, 2, 2},
                         .genes = {{"a", 0, 1}, {"b", -1, 1}, {"c", 0, 2}},
                         .path_alphabet = 12,
                         .path_min_length = 3,
                         .path_max_length = 6,
                         .free_path_choice = 2,
                         .free_path_value = 1,
                         .path_stride = 4};

std::vector<Individual> Seeds() {
  std::vector<Individual> seeds;
  for (int i = 0; i < 8; ++i)
    seeds.push_back({IndividualId(0, i),
                     0,
                     "seed",
                     {},
                     {{i / 4, i / 2 % 2, i % 2}, {0.1 * i, 0, 1}, {0, 1, 2, 3}},
                     std::nullopt});
  return seeds;
}

double Score(const Genome& genome) {  // best at (0.8, -0.5, 1.6)
  return -std::pow(genome.genes[0] - 0.8, 2) - std::pow(genome.genes[1] + 0.5, 2) -
         std::pow(genome.genes[2] - 1.6, 2);
}

TEST(GenerationSearch, MakesSixMutantsOfTheBestTwoAndTwoAveragesOfTheWorstSix) {
  std::vector<Individual> all = Seeds();
  for (std::size_t i = 0; i < all.size(); ++i) all[i].score = static_cast<double>(i);
  all.push_back({"parent", 0, "reference", {}, {}, 100.0});  // references never breed
  const std::vector<Individual> next = NextGeneration(all, 1, kSpace, {});
  ASSERT_EQ(next.size(), 8u);
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(next[static_cast<std::size_t>(i)].parents,
              std::vector<std::string>{i < 3 ? "g000_c07" : "g000_c06"});
  EXPECT_EQ(next[6].parents, (std::vector<std::string>{"g000_c05", "g000_c04", "g000_c03"}));
  EXPECT_NEAR(next[6].genome.genes[0], 0.4, 1e-12);
  EXPECT_EQ(next[7].parents, (std::vector<std::string>{"g000_c02", "g000_c01", "g000_c00"}));
}

TEST(GenerationSearch, KeepsGenesInTheirRangesAndPathsInTheirRules) {
  std::vector<Individual> all = Seeds();
  for (Individual& individual : all) individual.score = Score(individual.genome);
  for (int generation = 1; generation <= 60; ++generation) {
    for (Individual& child : NextGeneration(all, generation, kSpace,
                                            {.mutation_rate = 0.5, .choice_rate = 0.3, .path_rate = 0.9})) {
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_GE(child.genome.genes[i], kSpace.genes[i].low);
        EXPECT_LE(child.genome.genes[i], kSpace.genes[i].high);
      }
      for (const int entry : child.genome.path) EXPECT_TRUE(entry >= 0 && entry < 12);
      if (child.genome.choices[2] == 0) {
        ASSERT_EQ(child.genome.path.size(), 4u);
        for (int i = 0; i < 4; ++i) EXPECT_EQ(child.genome.path[static_cast<std::size_t>(i)] % 4, i);
      } else {
        EXPECT_TRUE(child.genome.path.size() >= 3 && child.genome.path.size() <= 6);
      }
      child.score = Score(child.genome);
      all.push_back(std::move(child));
    }
  }
}

TEST(GenerationSearch, NeverLosesTheBestAndFindsTheOptimumOfASmoothFunction) {
  std::vector<Individual> all = Seeds();
  for (Individual& individual : all) individual.score = Score(individual.genome);
  double best = *Ranked(all)[0]->score;
  for (int generation = 1; generation <= 50; ++generation) {
    for (Individual& child : NextGeneration(all, generation, kSpace, {})) {
      child.score = Score(child.genome);
      all.push_back(std::move(child));
    }
    EXPECT_GE(*Ranked(all)[0]->score, best);
    best = *Ranked(all)[0]->score;
  }
  EXPECT_GT(best, -0.01);
}

TEST(GenerationSearch, IsAFunctionOfItsJournal) {
  std::vector<Individual> all = Seeds();
  for (Individual& individual : all) individual.score = Score(individual.genome);
  const auto once = NextGeneration(all, 1, kSpace, {}), again = NextGeneration(all, 1, kSpace, {});
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(once[i].genome, again[i].genome);
  EXPECT_NE(NextGeneration(all, 1, kSpace, {.seed = 2})[0].genome, once[0].genome);
}

TEST(Plateau, StopsAfterFivesFlatWindowsOfThree) {
  std::vector<double> best{0.1, 0.2, 0.3};
  for (int i = 0; i < 6; ++i) best.push_back(0.3);
  // Windows ending at index 4 .. 8 are flat: five.
  EXPECT_TRUE(HasPlateaued(best, {}));
  best.pop_back();
  EXPECT_FALSE(HasPlateaued(best, {}));
  best.push_back(0.32);
  EXPECT_FALSE(HasPlateaued(best, {}));
}

}  // namespace
}  // namespace forge::evolve
