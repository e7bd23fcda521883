// SPDX-License-Identifier: Apache-2.0
#include "compress/retention.h"

#include <gtest/gtest.h>

namespace forge::compress {
namespace {

// 4 of 5 right before, 3 after: 0.75. Nats: -2 before, -2.5 after: 0.8 is left. Together 0.775.
TEST(CompareScores, IsTheRatioOfTheMeansAndItsInverseForNegativeScores) {
  const Retention retention =
      CompareScores({{1, 1, 1, 1, 0}, {-1, -3}}, {{1, 1, 1, 0, 0}, {-1.25, -3.75}}, {"math"}, 1);
  ASSERT_EQ(retention.domains.size(), 2u);
  EXPECT_EQ(retention.domains[0].domain, "math");
  EXPECT_EQ(retention.domains[1].domain, "domain 2");
  EXPECT_EQ(retention.domains[0].items, 5);
  EXPECT_DOUBLE_EQ(retention.domains[0].before, 0.8);
  EXPECT_DOUBLE_EQ(retention.domains[0].after, 0.6);
  EXPECT_DOUBLE_EQ(retention.domains[0].retention, 0.75);
  EXPECT_DOUBLE_EQ(retention.domains[1].retention, 0.8);
  EXPECT_DOUBLE_EQ(retention.mean, 0.775);
  EXPECT_DOUBLE_EQ(retention.worst(), 0.75);
}

TEST(CompareScores, HasAnIntervalAroundTheRatioThatPairingMakesNarrow) {
  std::vector<double> before, equal, shuffled;
  for (int i = 0; i < 200; ++i) {
    before.push_back(i % 10 < 8);
    equal.push_back(i % 10 < 8);
    shuffled.push_back((i + 5) % 10 < 8);  // as many right, but others
  }
  const Retention same = CompareScores({before}, {equal}, {"a"}, 1),
                  other = CompareScores({before}, {shuffled}, {"a"}, 1);
  ASSERT_TRUE(same.domains[0].interval && other.domains[0].interval && other.interval);
  EXPECT_EQ(same.domains[0].interval->low, 1);
  EXPECT_EQ(same.domains[0].interval->high, 1);
  EXPECT_LT(other.domains[0].interval->low, 0.97);
  EXPECT_GT(other.domains[0].interval->high, 1.03);
  EXPECT_LT(other.interval->low, 0.97);
}

// 4 of 5 before, 3 after, a guesser has 1 in 5: (0.6 - 0.2) / (0.8 - 0.2) is left. Nats: -2, -2.5 and -4 by
// guessing: 1.5 / 2. One pair lost, none won: mid-p 0.5. Wilson of 4 in 5: [0.376, 0.964] (1927, z = 1.96).
TEST(CompareScores, TakesChanceOffAndTestsWhatIsRightOrWrong) {
  const Retention retention =
      CompareScores({{1, 1, 1, 1, 0}, {-1, -3}}, {{1, 1, 1, 0, 0}, {-1.25, -3.75}}, {"math"}, 1, {0.2, -4});
  EXPECT_NEAR(*retention.domains[0].corrected, 2.0 / 3, 1e-12);
  EXPECT_NEAR(*retention.domains[1].corrected, 0.75, 1e-12);
  EXPECT_NEAR(*retention.domains[0].p, 0.5, 1e-12);
  EXPECT_NEAR(retention.domains[0].before_interval->low, 0.376, 5e-4);
  EXPECT_NEAR(retention.domains[0].before_interval->high, 0.964, 5e-4);
  EXPECT_LT(retention.domains[0].after_interval->high, 0.964);
  EXPECT_FALSE(retention.domains[1].p);
  EXPECT_FALSE(retention.domains[1].after_interval);
  EXPECT_FALSE(CompareScores({{1, 0}}, {{1, 0}}, {"a"}, 1, {0.5}).domains[0].corrected);
}

TEST(CompareScores, IsZeroWithoutAnIntervalWhereNothingWasRightBefore) {
  const Retention retention = CompareScores({{0, 0}}, {{1, 0}}, {"a"}, 1);
  EXPECT_EQ(retention.domains[0].retention, 0);
  EXPECT_FALSE(retention.domains[0].interval);
}

}  // namespace
}  // namespace forge::compress
