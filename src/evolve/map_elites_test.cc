// SPDX-License-Identifier: Apache-2.0
#include "evolve/map_elites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "evolve/testing_functions.h"
#include "evolve/variation.h"

namespace forge::evolve {
namespace {

using testing::ElementsAre;
using testing::Key;

Outcome At(double objective, double a, double b) {
  return {.objectives = {objective}, .descriptors = {a, b}};
}

TEST(MapElites, KeepsTheBestOfEachCell) {
  MapElites search({.box = Cube(2, 0, 1)}, Cube(2, 0, 1), {.bins = 4});
  for (int i = 0; i < 9; ++i) search.Ask();
  search.Tell(4, At(1, 0.1, 0.9));
  search.Tell(0, At(3, 0.2, 0.8));  // the same cell: better
  search.Tell(1, At(2, 0.2, 0.8));  // worse
  search.Tell(2, At(3, 0.1, 0.9));  // equal: the first stays
  search.Tell(3, At(7, 0.5, 1.0));  // the upper end belongs to the last cell
  search.Tell(5, At(9, -4, 77));    // outside: the outermost cell, and better than 0
  search.Tell(6, Failure());
  search.Tell(7, At(5, std::nan(""), 0));
  EXPECT_THAT(search.archive(), ElementsAre(Key(ElementsAre(0, 3)), Key(ElementsAre(2, 3))));
  EXPECT_EQ(search.archive().at({0, 3}).proposal.id, 5u);
  EXPECT_EQ(search.archive().at({2, 3}).proposal.id, 3u);
  EXPECT_DOUBLE_EQ(search.Coverage(), 2.0 / 16);
  EXPECT_DOUBLE_EQ(search.QualityDiversity(1), 8 + 6);
  EXPECT_THROW(search.Tell(8, {.objectives = {1}, .descriptors = {0.5}}), Error);
  EXPECT_THAT(search.Outstanding(), ElementsAre(8));  // refused: still to be told
}

TEST(MapElites, FillsMoreAndBetterThanRandomSearch) {
  // Descriptors: the first two dimensions; quality: how near the other eight are to 0.
  const auto score = [](bool children) {
    return MedianOverSeeds(5, [&](std::uint64_t seed) {
      MapElites search({.box = Cube(10, -1, 1), .seed = seed}, Cube(2, -1, 1),
                       {.initial_points = children ? 100 : 3000});
      for (int i = 0; i < 3000; ++i) {
        const Proposal proposal = search.Ask();
        Outcome outcome = Low(Sphere(std::span(proposal.point).subspan(2)));
        outcome.descriptors = {proposal.point[0], proposal.point[1]};
        search.Tell(proposal.id, outcome);
      }
      return search.QualityDiversity(-8);
    });
  };
  const double with_children = score(true), random = score(false);
  EXPECT_GT(with_children, 0.93 * 8 * 100);
  EXPECT_GT(with_children, 1.1 * random);
}

TEST(MapElites, NamesTheParentsOfAChild) {
  MapElites search({.box = Cube(2, 0, 1), .start_points = {{0.1, 0.1}, {0.9, 0.9}}}, Cube(2, 0, 1),
                   {.initial_points = 2});
  for (int i = 0; i < 2; ++i) {
    const Proposal proposal = search.Ask();
    search.Tell(proposal.id, At(1, proposal.point[0], proposal.point[1]));
  }
  const Proposal child = search.Ask();
  EXPECT_EQ(child.origin, "child");
  ASSERT_FALSE(child.parents.empty());
  EXPECT_LE(child.parents.front(), 1u);
}

TEST(Variation, IsoLineSpreadsAlongTheLineBetweenElites) {
  const std::vector<double> a{0.5, 0.5}, b{0.7, 0.5};
  double along = 0, across = 0;
  constexpr int kCount = 20000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    Random random(1, "testing/line", i);
    const std::vector<double> child = IsoLine(a, b, 0.01, 0.2, random);
    along += std::pow(child[0] - 0.5, 2) / kCount;
    across += std::pow(child[1] - 0.5, 2) / kCount;
  }
  // Variances 0.01^2 + (0.2 * 0.2)^2 and 0.01^2; four standard errors are 4 %.
  EXPECT_NEAR(along, 0.0017, 0.04 * 0.0017);
  EXPECT_NEAR(across, 0.0001, 0.04 * 0.0001);
}

}  // namespace
}  // namespace forge::evolve
