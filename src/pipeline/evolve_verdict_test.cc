// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_verdict.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace forge::pipeline {
namespace {

using Scores = std::vector<std::vector<double>>;

/// Right answers with probability `skill` in three domains.
Scores Answers(double skill, int items, std::uint64_t seed) {
  Random random(seed, "evolve_verdict_test");
  Scores scores(3);
  for (std::vector<double>& domain : scores)
    for (int i = 0; i < items; ++i) domain.push_back(random.Uniform() < skill ? 1 : 0);
  return scores;
}

double Sum(const Scores& scores) {
  double sum = 0;
  for (const std::vector<double>& domain : scores)
    for (const double score : domain) sum += score;
  return sum;
}

// Answers that have nothing to do with the questions, as after a permutation of the labels: the best of
// twelve looks better than the best of three by chance, in most of the runs.
TEST(EvolveVerdict, SaysNoGainWhereAllModelsOnlyGuess) {
  int looks_better = 0, gains = 0;
  constexpr int kRuns = 400;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    const auto best_of = [&](std::uint64_t first, int count) {
      Scores best;
      for (int i = 0; i < count; ++i) {
        Scores scores = Answers(0.15, 150, run * 100 + first + static_cast<std::uint64_t>(i));
        if (best.empty() || Sum(scores) > Sum(best)) best = std::move(scores);
      }
      return best;
    };
    const Scores parent = best_of(0, 3), champion = best_of(50, 12);
    looks_better += Sum(champion) > Sum(parent);
    gains += IsGain(parent, champion, 12);
  }
  EXPECT_GT(looks_better, kRuns / 2);
  EXPECT_LT(gains, kRuns / 20);
}

TEST(EvolveVerdict, SaysGainWhereThereIsOne) {
  int gains = 0;
  for (std::uint64_t run = 0; run < 50; ++run)
    gains += IsGain(Answers(0.5, 150, 2 * run), Answers(0.7, 150, 2 * run + 1), 12);
  EXPECT_GE(gains, 48);
}

// Differences 1, 1, 0, 0 and 0, 0: mean of the domains' means (0.5 + 0) / 2 = 0.25; variance 0.25 / 4 / 4 = 1
// / 64, so z = 2 and p = 0.02275.
TEST(EvolveVerdict, HasTheValueWorkedByHand) {
  EXPECT_NEAR(GainPValue({{0, 0, 1, 0}, {1, 0}}, {{1, 1, 1, 0}, {1, 0}}), 0.0227501319, 1e-9);
  EXPECT_EQ(GainPValue({{1, 0}}, {{0, 1}}), 1);
  EXPECT_EQ(GainPValue({{0, 0}}, {{1, 1}}), 0.25);  // no variance: 2^-2
}

}  // namespace
}  // namespace forge::pipeline
