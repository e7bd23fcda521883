// SPDX-License-Identifier: Apache-2.0
#include "pipeline/ability_ranking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/philox.h"

namespace forge::pipeline {
namespace {

/// 0 or 1 with probability 1 / (1 + exp(difficulty - ability)), difficulties spread over [-2, 2].
Scores Answers(double ability, std::uint64_t seed) {
  Random random(seed, "pipeline/testing/ability");
  Scores scores(1);
  for (int i = 0; i < 60; ++i)
    scores[0].push_back(random.Uniform() < 1 / (1 + std::exp(-2 + i / 15.0 - ability)) ? 1 : 0);
  return scores;
}

double Mean(const Scores& scores) {
  double sum = 0;
  for (const double score : scores[0]) sum += score;
  return sum / static_cast<double>(scores[0].size());
}

TEST(ExpectedByAbility, DrawsALuckyCandidateTowardsItsParents) {
  const std::vector<Scores> parents{Answers(0, 1), Answers(0.2, 2)};
  std::vector<Scores> candidates;
  for (std::uint64_t c = 0; c < 20; ++c) candidates.push_back(Answers(0.3, 10 + c));
  const std::vector<std::vector<double>> shares(20, {1, 1});
  const std::vector<double> expected = ExpectedByAbility(parents, candidates, shares, {1});
  std::size_t luckiest = 0;
  for (std::size_t c = 1; c < 20; ++c)
    if (Mean(candidates[c]) > Mean(candidates[luckiest])) luckiest = c;
  const double truth = 0.574;  // mean of the probabilities at ability 0.3
  EXPECT_GT(Mean(candidates[luckiest]), truth + 0.05);
  EXPECT_LT(std::abs(expected[luckiest] - truth), std::abs(Mean(candidates[luckiest]) - truth));
}

TEST(ExpectedByAbility, KeepsTheOrderOfCandidatesThatDifferMuch) {
  const std::vector<double> expected =
      ExpectedByAbility({Answers(-1, 1), Answers(1, 2)}, {Answers(2, 3), Answers(-2, 4), Answers(0, 5)},
                        {{1, 1}, {1, 1}, {0, 0}}, {1});
  EXPECT_GT(expected[0], expected[2]);
  EXPECT_GT(expected[2], expected[1]);
}

TEST(ExpectedByAbility, AMergeIsExpectedNearTheParentThatItIsMadeOf) {
  const Scores unknown = Answers(0, 7);
  const std::vector<double> expected =
      ExpectedByAbility({Answers(-2.5, 1), Answers(2.5, 2)}, {unknown, unknown}, {{1, 0}, {0, 1}}, {1});
  EXPECT_LT(expected[0], expected[1]);
}

TEST(SharesOf, AddsUpMagnitudes) {
  EXPECT_THAT(SharesOf({.coefficients = {{0.5, -0.25, 0}, {1, 1, 1}}}), ::testing::ElementsAre(0.75, 3));
}

}  // namespace
}  // namespace forge::pipeline
