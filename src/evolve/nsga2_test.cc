// SPDX-License-Identifier: Apache-2.0
#include "evolve/nsga2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evolve/testing_functions.h"
#include "evolve/variation.h"

namespace forge::evolve {
namespace {

using testing::ElementsAre;

double AreaAfter(bool second, int evaluations, int workers, std::uint64_t seed) {
  Nsga2 search({.box = Cube(10, 0, 1), .seed = seed}, {.population_size = 50});
  std::vector<Proposal> running;
  Random order(seed, "testing/order");
  for (int i = 0; i < evaluations; ++i) {
    while (static_cast<int>(running.size()) < workers) running.push_back(search.Ask());
    const auto job = running.begin() + order.Below(static_cast<std::uint32_t>(running.size()));
    search.Tell(job->id, Zdt(job->point, second));
    running.erase(job);
  }
  std::vector<Objectives> front;
  for (const Evaluated& member : search.Front()) front.push_back(member.outcome.objectives);
  return Hypervolume(front, {-1.1, -1.1});
}

TEST(Nsga2, CoversTheFrontsOfZdt1AndZdt2) {
  const auto area = [](bool second) {
    return MedianOverSeeds(5, [&](std::uint64_t seed) { return AreaAfter(second, 4000, 1, seed); });
  };
  EXPECT_GT(area(false), 0.98 * kZdt1Area);
  EXPECT_GT(area(true), 0.94 * kZdt2Area);
  EXPECT_LT(area(false), kZdt1Area);  // the whole front is the limit
}

TEST(Nsga2, ResultsInAnyOrderCostLittle) {
  EXPECT_GT(MedianOverSeeds(5, [](std::uint64_t seed) { return AreaAfter(false, 4000, 16, seed); }),
            0.97 * kZdt1Area);
}

TEST(Nsga2, WithOneObjectiveFindsTheOptimum) {
  Nsga2 search({.box = Cube(5, -5, 5)}, {.population_size = 30});
  RunInTurn(search, Sphere, 3000);
  EXPECT_LT(Sphere(search.Recommended()), 1e-3);
  EXPECT_LT(search.SpreadLeft(), 0.05);
}

TEST(Nsga2, KeepsToAMinimumInEachObjective) {
  // x against 1 - x; the first must be at least 0.7.
  Nsga2 search({.box = Cube(1, 0, 1)}, {.population_size = 20});
  for (int i = 0; i < 400; ++i) {
    const Proposal proposal = search.Ask();
    const double x = proposal.point[0];
    search.Tell(proposal.id, {.objectives = {x, 1 - x}, .violation = std::max(0.0, 0.7 - x)});
  }
  ASSERT_EQ(search.Front().size(), 20u);
  double lowest = 1, highest = 0;
  for (const Evaluated& member : search.Front()) {
    EXPECT_EQ(member.outcome.violation, 0);
    lowest = std::min(lowest, member.proposal.point[0]);
    highest = std::max(highest, member.proposal.point[0]);
  }
  EXPECT_LT(lowest, 0.72);
  EXPECT_GT(highest, 0.98);
}

TEST(Nsga2, FailuresNeverBreedAndTheWorstLeaves) {
  Nsga2 search({.box = Cube(2, 0, 1), .start_points = {{0.1, 0.1}, {0.2, 0.2}, {0.3, 0.3}, {0.4, 0.4}}},
               {.population_size = 3});
  for (int i = 0; i < 4; ++i) search.Ask();
  search.Tell(0, Failure());
  EXPECT_TRUE(search.population().empty());
  EXPECT_EQ(search.Ask().origin, "random");  // nothing to breed from yet
  search.Tell(3, Low(4));
  search.Tell(1, Low(1));
  search.Tell(2, Low(3));
  const Proposal child = search.Ask();
  EXPECT_EQ(child.origin, "child");
  search.Tell(child.id, Low(2));
  std::vector<std::uint64_t> ids;
  for (const Evaluated& member : search.population()) ids.push_back(member.proposal.id);
  EXPECT_THAT(ids, ElementsAre(1, 2, child.id));
  EXPECT_EQ(search.Recommended(), (std::vector<double>{0.2, 0.2}));
}

TEST(Variation, CrossoverKeepsTheMeanOfTheParentsAndStaysInTheBox) {
  const std::vector<double> a{0.4, 0.0, 0.5}, b{0.6, 0.1, 0.5};
  double sum = 0;
  int changed = 0;
  constexpr int kCount = 20000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    Random random(1, "testing/crossover", i);
    const std::vector<double> child = SimulatedBinaryCrossover(a, b, 20, random);
    for (const double value : child) EXPECT_TRUE(value >= 0 && value <= 1);
    EXPECT_EQ(child[2], 0.5);
    sum += child[0];
    changed += child[0] != 0.4 && child[0] != 0.6;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 4 * 0.11 / std::sqrt(kCount));  // the children's deviation is about 0.1
  EXPECT_NEAR(changed / static_cast<double>(kCount), 0.5, 4 * 0.5 / std::sqrt(kCount));
}

TEST(Variation, MutationAlwaysChangesADimensionEvenOnTheBorderAndKeepsToTheBox) {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    Random random(1, "testing/mutation", i);
    std::vector<double> point{0, 0.5, 1};
    const std::vector<double> before = point;
    PolynomialMutation(point, 20, 1e-9, random);
    int changed = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      changed += point[k] != before[k];
      EXPECT_TRUE(point[k] >= 0 && point[k] <= 1);
    }
    EXPECT_EQ(changed, 1);
  }
}

}  // namespace
}  // namespace forge::evolve
