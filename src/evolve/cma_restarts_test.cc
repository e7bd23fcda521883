// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_restarts.h"

#include <gtest/gtest.h>

#include <limits>

namespace forge::evolve {
namespace {

TEST(CmaStopRule, StopsOnlyWhenTheWholeWindowIsFlat) {
  CmaStopRule rule(2, 6, 1e-9, 1e-12);  // window: 10 + 30 * 2 / 6 = 20
  for (int i = 0; i < 19; ++i) rule.Observe({1, 1, 1});
  EXPECT_FALSE(rule.ShouldStop(1, 1));
  rule.Observe({1, 1, 0});  // the last generation still spreads
  EXPECT_FALSE(rule.ShouldStop(1, 1));
  rule.Observe({1, 1, 1});
  EXPECT_TRUE(rule.ShouldStop(1, 1));
  rule.Observe({1 + 1e-6, 1, 1});
  EXPECT_FALSE(rule.ShouldStop(1, 1));
}

TEST(CmaStopRule, StopsWhenTheDistributionHasContractedOrDegenerated) {
  const CmaStopRule rule(2, 6, 1e-9, 1e-12);
  EXPECT_FALSE(rule.ShouldStop(1e-11, 1e13));
  EXPECT_TRUE(rule.ShouldStop(1e-13, 1));
  EXPECT_TRUE(rule.ShouldStop(1, 1e15));
  EXPECT_TRUE(rule.ShouldStop(1, std::numeric_limits<double>::quiet_NaN()));
}

TEST(CmaStopRule, StopsWhenNothingHasGotBetterForLong) {
  CmaStopRule noisy(2, 6, 1e-9, 1e-12), rising(2, 6, 1e-9, 1e-12);
  for (int i = 0; i < 129; ++i) {
    const double jump = i * 5 % 13;  // the same in each 13 generations
    noisy.Observe({jump, 0});
    rising.Observe({jump + 0.1 * i, 0.1 * i});
  }
  EXPECT_FALSE(noisy.ShouldStop(1, 1));
  noisy.Observe({8, 0});
  rising.Observe({20, 13});
  EXPECT_TRUE(noisy.ShouldStop(1, 1));
  EXPECT_FALSE(rising.ShouldStop(1, 1));
}

TEST(CmaRestarts, NoneHasNoNext) {
  EXPECT_FALSE(CmaRestarts("none", 9, {10, 0.2}, 1).HasNext());
  EXPECT_FALSE(CmaRestarts("ipop", 0, {10, 0.2}, 1).HasNext());
}

TEST(CmaRestarts, IpopDoublesThePopulation) {
  CmaRestarts restarts("ipop", 3, {10, 0.2}, 1);
  for (const int size : {20, 40, 80}) {
    ASSERT_TRUE(restarts.HasNext());
    restarts.Next(1000);
    EXPECT_EQ(restarts.current().population_size, size);
    EXPECT_EQ(restarts.current().step_size, 0.2);
  }
  EXPECT_FALSE(restarts.HasNext());
}

TEST(CmaRestarts, BipopGivesSmallRunsAsMuchInTotalAsLargeOnes) {
  CmaRestarts restarts("bipop", 1000, {10, 0.2}, 1);
  std::uint64_t large = 0, small = 0;
  int largest = 10, num_small = 0;
  restarts.Next(500);  // the first run belongs to neither
  for (int i = 0; i < 200; ++i) {
    const CmaRun run = restarts.current();
    const bool is_small = run.population_size != 2 * largest;
    std::uint64_t results = static_cast<std::uint64_t>(run.population_size) * 30;
    if (is_small) {
      ++num_small;
      EXPECT_GE(run.population_size, 10);
      EXPECT_LE(run.population_size, largest / 2);
      EXPECT_GE(run.step_size, 0.002);
      EXPECT_LE(run.step_size, 0.2);
      results = std::min(results, run.max_results);
      EXPECT_LT(small, large);
      small += results;
    } else {
      EXPECT_GE(small, large);
      largest *= 2;
      large += results;
      if (large > 3'000'000) break;
    }
    restarts.Next(results);
  }
  EXPECT_GT(num_small, 10);
}

}  // namespace
}  // namespace forge::evolve
