// SPDX-License-Identifier: Apache-2.0
#include "evolve/pareto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "base/philox.h"

namespace forge::evolve {
namespace {

using testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Dominates, NeedsToBeNowhereWorseAndSomewhereBetter) {
  EXPECT_TRUE(Dominates({2, 1}, {1, 1}));
  EXPECT_FALSE(Dominates({1, 1}, {1, 1}));
  EXPECT_FALSE(Dominates({2, 0}, {1, 1}));
  EXPECT_TRUE(DominatesWithin({0, 0}, 0, {9, 9}, 0.1));
  EXPECT_TRUE(DominatesWithin({1, 1}, 0.5, {0, 1}, 0.5));
}

TEST(NonDominatedFronts, PeelOffTheLayersOfTheExample) {
  // 0, 2 and 5 are not dominated (5 equals 2); 1 only by 0; 3 by all; 4 by 2.
  const std::vector<Objectives> points{{1, 5}, {0, 5}, {4, 2}, {0, 0}, {3, 2}, {4, 2}};
  EXPECT_THAT(NonDominatedFronts(points),
              ElementsAre(ElementsAre(0, 2, 5), ElementsAre(1, 4), ElementsAre(3)));
  EXPECT_TRUE(NonDominatedFronts({}).empty());
}

TEST(NonDominatedFronts, PutWhatIsAllowedBeforeWhatIsNot) {
  const std::vector<Objectives> points{{9, 9}, {1, 1}, {8, 8}};
  EXPECT_THAT(NonDominatedFronts(points, std::vector<double>{0.2, 0, 0.1}),
              ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(0)));
}

TEST(NonDominatedFronts, WithOneObjectiveAreARanking) {
  const std::vector<Objectives> points{{2}, {3}, {1}, {3}};
  EXPECT_THAT(NonDominatedFronts(points), ElementsAre(ElementsAre(1, 3), ElementsAre(0), ElementsAre(2)));
}

TEST(CrowdingDistances, EqualTheExampleWorkedByHand) {
  // Ranges 4 and 8. Point 1: (3 - 0) / 4 + (8 - 2) / 8 = 1.5; point 2: (4 - 1) / 4 + (6 - 0) / 8 = 1.5.
  const std::vector<Objectives> points{{0, 8}, {1, 6}, {3, 2}, {4, 0}};
  EXPECT_THAT(CrowdingDistances(points, std::vector<std::size_t>{0, 1, 2, 3}),
              ElementsAre(kInfinity, 1.5, 1.5, kInfinity));
  EXPECT_THAT(CrowdingDistances(points, std::vector<std::size_t>{3, 1, 0}),
              ElementsAre(kInfinity, 2, kInfinity));
}

TEST(CrowdingDistances, OfEqualPointsOnlyOneIsAnEnd) {
  const std::vector<Objectives> points{{0, 1}, {0, 1}, {1, 0}, {1, 0}};
  EXPECT_THAT(CrowdingDistances(points, std::vector<std::size_t>{0, 1, 2, 3}),
              ElementsAre(kInfinity, 1, kInfinity, 1));
  EXPECT_THAT(CrowdingDistances(std::vector<Objectives>{{3, 3}}, std::vector<std::size_t>{0}),
              ElementsAre(0));
}

TEST(Hypervolume, EqualsBoxesCountedByHand) {
  EXPECT_DOUBLE_EQ(Hypervolume(std::vector<Objectives>{{3}, {5}}, {1}), 4);
  // Above (0, 0): 3 x 1 + 2 x (2 - 1) + 1 x (3 - 2) = 6; (1, 1) is inside, (9, -1) is below the reference.
  const std::vector<Objectives> plane{{1, 3}, {2, 2}, {3, 1}, {1, 1}, {9, -1}};
  EXPECT_DOUBLE_EQ(Hypervolume(plane, {0, 0}), 6);
  EXPECT_DOUBLE_EQ(Hypervolume({}, {0, 0}), 0);
  // Two boxes 2 x 1 x 1 and 1 x 1 x 3 that share 1 x 1 x 1.
  EXPECT_DOUBLE_EQ(Hypervolume(std::vector<Objectives>{{2, 1, 1}, {1, 1, 3}}, {0, 0, 0}), 4);
  EXPECT_THROW(Hypervolume(plane, {0, 0, 0, 0}), Error);
}

TEST(Hypervolume, InThreeDimensionsEqualsTheShareOfRandomPointsBelow) {
  Random random(3, "testing/volume");
  std::vector<Objectives> points;
  for (int i = 0; i < 20; ++i) points.push_back({random.Uniform(), random.Uniform(), random.Uniform()});
  int below = 0;
  constexpr int kCount = 200'000;
  for (int i = 0; i < kCount; ++i) {
    const Objectives x{random.Uniform(), random.Uniform(), random.Uniform()};
    below += std::any_of(points.begin(), points.end(),
                         [&](const Objectives& p) { return p[0] >= x[0] && p[1] >= x[1] && p[2] >= x[2]; });
  }
  // Four standard errors of a share: at most 4 * 0.5 / sqrt(200,000).
  EXPECT_NEAR(Hypervolume(points, {0, 0, 0}), below / static_cast<double>(kCount), 0.0045);
}

TEST(KneePoint, IsWhereBothObjectivesAreNearlyFull) {
  const std::vector<Objectives> front{{0, 100}, {0.9, 90}, {1, 0}, {0.5, 50}};
  EXPECT_EQ(KneePoint(front), 1u);  // 0.9 + 0.9; the ends sum to 1, and 3 is dominated
  EXPECT_EQ(KneePoint(std::vector<Objectives>{{1, 2}}), 0u);
  EXPECT_EQ(KneePoint(std::vector<Objectives>{{1}, {7}, {3}}), 1u);
}

}  // namespace
}  // namespace forge::evolve
