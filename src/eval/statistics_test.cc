// SPDX-License-Identifier: Apache-2.0
#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"

namespace forge::eval {
namespace {

// quiet-star.md 4.2 and 4.3, as (lost, won) there.
TEST(McNemar, GivesTheGoldenValues) {
  const struct {
    int lost, won;
    double exact, mid;
  } cases[] = {{2, 10, 0.038574, 0.022461},
               {5, 15, 0.041389, 0.026604},
               {20, 40, 0.013489, 0.009853},
               {50, 80, 0.010694, 0.008511},
               {0, 6, 0.031250, 0.015625}};
  for (const auto& c : cases) {
    EXPECT_NEAR(McNemarExact({c.won, c.lost}), c.exact, 1e-6);
    EXPECT_NEAR(McNemarMidP({c.won, c.lost}), c.mid, 1e-6);
  }
  EXPECT_EQ(McNemarMidP({0, 0}), 1);
  EXPECT_NEAR(McNemarExact({4, 4}), 1, 1e-12);
}

TEST(McNemar, EValueGivesTheGoldenValues) {
  EXPECT_NEAR(McNemarEValue({10, 2}), 9.4406, 1e-4);
  EXPECT_NEAR(McNemarEValue({15, 5}), 6.3555, 1e-4);
  EXPECT_NEAR(McNemarEValue({40, 20}), 8.9733, 1e-4);
  EXPECT_NEAR(McNemarEValue({80, 50}), 6.9649, 1e-4);
  EXPECT_NEAR(McNemarEValue({6, 0}), 18.1429, 1e-4);
}

// 8 of 10: center (0.8 + 0.19207) / 1.38415 = 0.71674, half width 0.22658.
TEST(Wilson, MatchesTheExampleWorkedByHand) {
  const Interval interval = WilsonInterval(8, 10);
  EXPECT_NEAR(interval.low, 0.49016, 1e-4);
  EXPECT_NEAR(interval.high, 0.94332, 1e-4);
  EXPECT_EQ(WilsonInterval(0, 10).low, 0);
  EXPECT_NEAR(WilsonInterval(10, 10).high, 1, 1e-12);
}

// Coverage of the 95 % interval of a mean over 300 data sets of 100 items: 285 expected, sd 3.8; the
// percentile bootstrap is slightly narrow at this size, so 270 is the lower bound taken.
TEST(Bootstrap, CoversTheTrueMean) {
  int covered = 0;
  for (std::uint64_t set = 0; set < 300; ++set) {
    Random random(set, "test/data");
    std::vector<double> values(100);
    for (double& value : values) value = random.Uniform() < 0.3;
    const auto interval = Bootstrap(
        100, set,
        [&](std::span<const int> drawn) -> std::optional<double> {
          double sum = 0;
          for (const int i : drawn) sum += values[static_cast<std::size_t>(i)];
          return sum / 100;
        },
        400);
    covered += interval->low <= 0.3 && 0.3 <= interval->high;
  }
  EXPECT_GE(covered, 270);
  EXPECT_LE(covered, 298);
}

TEST(Bootstrap, HasNoIntervalWhenTheStatisticIsOftenUndefined) {
  EXPECT_EQ(
      Bootstrap(3, 1,
                [](std::span<const int> drawn) { return drawn[0] == 0 ? std::optional<double>() : 1.0; }),
      std::nullopt);
}

TEST(BootstrapMeanDifference, IsExactForAConstantDifferenceAndPaired) {
  const std::vector<std::vector<double>> first{{0, 1, 0}, {1, 1}}, second{{0.5, 1.5, 0.5}, {1.25, 1.25}};
  const Interval interval = BootstrapMeanDifference(first, second, 1);
  EXPECT_NEAR(interval.low, 0.375, 1e-12);
  EXPECT_NEAR(interval.high, 0.375, 1e-12);
}

}  // namespace
}  // namespace forge::eval
