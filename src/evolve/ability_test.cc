// SPDX-License-Identifier: Apache-2.0
#include "evolve/ability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/philox.h"

namespace forge::evolve {
namespace {

constexpr double kNotAsked = std::numeric_limits<double>::quiet_NaN();

TEST(Ability, ProbabilityAndInformationEqualTheFormula) {
  EXPECT_DOUBLE_EQ(AnswerProbability({2, 0.5}, 0.5), 0.5);
  EXPECT_DOUBLE_EQ(AnswerProbability({2, 0}, 1), 1 / (1 + std::exp(-2)));
  EXPECT_DOUBLE_EQ(ItemInformation({2, 0.5}, 0.5), 1);  // 4 * 1/4
}

// One right and one wrong answer to equal items cancel: the maximum is at the prior's mean 0, with
// information 2 * 1/4 + 1. One right answer: theta = 1 - P(theta), so theta = 0.4011 (iterated by hand).
TEST(Ability, EstimateEqualsTheExampleWorkedByHand) {
  const std::vector<AbilityItem> two(2);
  const AbilityEstimate even = EstimateAbility(two, std::vector<double>{1, 0});
  EXPECT_NEAR(even.ability, 0, 1e-9);
  EXPECT_NEAR(even.standard_error, 1 / std::sqrt(1.5), 1e-9);
  const AbilityEstimate right = EstimateAbility(two, std::vector<double>{1, kNotAsked});
  EXPECT_NEAR(right.ability, 1 - AnswerProbability({}, right.ability), 1e-9);
  EXPECT_NEAR(right.ability, 0.4011, 1e-4);
}

TEST(Ability, WithoutAnswersIsThePrior) {
  const AbilityEstimate estimate = EstimateAbility(
      std::vector<AbilityItem>(1), std::vector<double>{kNotAsked}, {.mean = 0.7, .deviation = 0.3});
  EXPECT_NEAR(estimate.ability, 0.7, 1e-12);
  EXPECT_NEAR(estimate.standard_error, 0.3, 1e-12);
}

TEST(Ability, StaysFiniteWhenAllAnswersAreRightOrItemsAreSharp) {
  const std::vector<AbilityItem> items(500, AbilityItem{50, 3});
  const AbilityEstimate estimate = EstimateAbility(items, std::vector<double>(500, 1.0), {.deviation = 10});
  EXPECT_TRUE(std::isfinite(estimate.ability));
  EXPECT_GT(estimate.ability, 3);
}

struct World {
  std::vector<AbilityItem> items;
  std::vector<double> abilities;
  std::vector<std::vector<double>> answers;
};

World MakeWorld(int anchors, int items, std::uint64_t seed) {
  Random random(seed, "testing/ability");
  World world;
  for (int k = 0; k < items; ++k)
    world.items.push_back({std::exp(0.4 * random.Normal()), 1.2 * random.Normal()});
  for (int i = 0; i < anchors; ++i) {
    world.abilities.push_back(random.Normal());
    auto& row = world.answers.emplace_back();
    for (const AbilityItem& item : world.items)
      row.push_back(random.Uniform() < AnswerProbability(item, world.abilities.back()));
  }
  return world;
}

double Correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  const auto n = static_cast<double>(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    mean_a += a[i] / n;
    mean_b += b[i] / n;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
    ab += (a[i] - mean_a) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

TEST(Ability, FitFindsTheParametersThatMadeTheAnswers) {
  const World world = MakeWorld(150, 200, 1);
  const AbilityFit fit = FitAbilityItems(world.answers);
  std::vector<double> difficulty, found, ability, found_ability;
  double within = 0;
  for (std::size_t k = 0; k < world.items.size(); ++k) {
    difficulty.push_back(world.items[k].difficulty);
    found.push_back(fit.items[k].difficulty);
  }
  for (std::size_t i = 0; i < world.abilities.size(); ++i) {
    ability.push_back(world.abilities[i]);
    found_ability.push_back(fit.anchors[i].ability);
    within += std::abs(fit.anchors[i].ability - world.abilities[i]) < 2 * fit.anchors[i].standard_error;
  }
  EXPECT_GT(Correlation(difficulty, found), 0.95);
  EXPECT_GT(Correlation(ability, found_ability), 0.97);
  EXPECT_GT(within / 150, 0.8);  // 0.95 if the items were known
}

TEST(Ability, FromFewItemsForetellsTheScoreOnAllBetterThanTheirMean) {
  // 12 anchors fit 300 items; 60 new candidates are asked 20 of them. Error 0.090 against 0.108: what the
  // mean needs 29 items for.
  double by_ability = 0, by_mean = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const World world = MakeWorld(72, 300, seed);
    const AbilityFit fit = FitAbilityItems({world.answers.begin(), world.answers.begin() + 12});
    for (std::size_t i = 12; i < 72; ++i) {
      std::vector<double> asked(300, kNotAsked);
      double mean = 0, truth = 0;
      for (std::size_t k = 0; k < 300; k += 15) mean += (asked[k] = world.answers[i][k]) / 20;
      for (std::size_t k = 0; k < 300; ++k) truth += world.answers[i][k] / 300;
      const double expected = ExpectedScore(fit.items, EstimateAbility(fit.items, asked).ability);
      by_ability += std::pow(expected - truth, 2);
      by_mean += std::pow(mean - truth, 2);
    }
  }
  EXPECT_LT(std::sqrt(by_ability), 0.9 * std::sqrt(by_mean));
}

TEST(Ability, TakesTheWinnersCurseFromTheBestOfMany) {
  // 200 candidates of one ability, 40 items: the best looks far better than it is.
  Random random(3, "testing/curse");
  const World world = MakeWorld(1, 40, 3);
  const double truth = ExpectedScore(world.items, 0.2);
  double best_mean = 0, best_expected = 0;
  for (int i = 0; i < 200; ++i) {
    std::vector<double> answers;
    double mean = 0;
    for (const AbilityItem& item : world.items)
      mean += (answers.emplace_back(random.Uniform() < AnswerProbability(item, 0.2))) / 40;
    best_mean = std::max(best_mean, mean);
    const AbilityEstimate estimate = EstimateAbility(world.items, answers, {.mean = 0.2, .deviation = 0.3});
    best_expected = std::max(best_expected, ExpectedScore(world.items, estimate.ability));
  }
  EXPECT_LT(best_expected - truth, 0.5 * (best_mean - truth));
}

TEST(Ability, ItemsThatAllOrNoneAnsweredStayFinite) {
  const AbilityFit fit = FitAbilityItems({{1, 0, 1, kNotAsked}, {1, 0, 0, kNotAsked}, {1, 0, 1, kNotAsked}});
  EXPECT_LT(fit.items[0].difficulty, 0);
  EXPECT_GT(fit.items[1].difficulty, 0);
  for (const AbilityItem& item : fit.items)
    EXPECT_TRUE(std::isfinite(item.difficulty) && item.discrimination > 0.1 && item.discrimination < 10);
  EXPECT_EQ(fit.items[3].difficulty, 0);
  // At the maximum, the answers' pull on the first difficulty, discrimination * sum (P - 1), is the prior's:
  // -b.
  double pull = 0;
  for (const AbilityEstimate& anchor : fit.anchors)
    pull += fit.items[0].discrimination * (AnswerProbability(fit.items[0], anchor.ability) - 1);
  EXPECT_NEAR(pull, fit.items[0].difficulty, 1e-3);
  EXPECT_GT(fit.anchors[0].ability, fit.anchors[1].ability);
}

TEST(Ability, RefusesAnswersOutsideTheirRange) {
  EXPECT_THROW(FitAbilityItems({{0.5, 1.5}}), Error);
  EXPECT_THROW(FitAbilityItems({{0.5}, {0.5, 1}}), Error);
}

}  // namespace
}  // namespace forge::evolve
