// SPDX-License-Identifier: Apache-2.0
#include "evolve/racing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"

namespace forge::evolve {
namespace {

using testing::Contains;
using testing::ElementsAre;

// Printed tables: t(10) = 1.812 and 2.764 at 0.05 and 0.01; t(1) = 6.314 at 0.05; t(30) = 3.385 at 0.001. One
// degree is Cauchy's distribution: P(T > 1) = 1/4.
TEST(StudentUpperTail, EqualsThePrintedTables) {
  EXPECT_NEAR(StudentUpperTail(1.812461, 10), 0.05, 1e-7);
  EXPECT_NEAR(StudentUpperTail(2.763769, 10), 0.01, 1e-7);
  EXPECT_NEAR(StudentUpperTail(6.313752, 1), 0.05, 1e-7);
  EXPECT_NEAR(StudentUpperTail(3.385185, 30), 0.001, 1e-8);
  EXPECT_NEAR(StudentUpperTail(1, 1), 0.25, 1e-12);
  EXPECT_NEAR(StudentUpperTail(0, 7), 0.5, 1e-12);
  EXPECT_NEAR(StudentUpperTail(-1.812461, 10), 0.95, 1e-7);
}

/// Scores of candidates with these probabilities of a right answer; items differ in difficulty for all alike.
std::vector<std::vector<double>> Scores(const std::vector<double>& skill, int items, std::uint64_t seed) {
  std::vector<std::vector<double>> scores(skill.size());
  for (int k = 0; k < items; ++k) {
    Random random(seed, "testing/race", static_cast<std::uint64_t>(k));
    const double difficulty = random.Normal();
    for (std::size_t i = 0; i < skill.size(); ++i)
      scores[i].push_back(skill[i] - difficulty + 0.5 * random.Normal() > 0);
  }
  return scores;
}

TEST(Race, DropsTheClearlyWorseAndKeepsTheRest) {
  for (const char* test : {"paired_t", "bernstein"}) {
    const auto scores = Scores({0.5, -1.5, 0.45, -2}, 400, 1);
    EXPECT_THAT(SurvivorsOfRace(scores, 1, 1, {.test = test}), ElementsAre(0, 2)) << test;
    EXPECT_THAT(SurvivorsOfRace(scores, 3, 1, {.test = test}), testing::IsSupersetOf({0, 1, 2})) << test;
  }
}

TEST(Race, DecidesNothingOnFewItemsOrBetweenEquals) {
  EXPECT_THAT(SurvivorsOfRace(Scores({2, -2}, 15, 1), 1, 1, {}), ElementsAre(0, 1));
  EXPECT_THAT(SurvivorsOfRace(Scores({2, -2}, 60, 1), 1, 1, {}), ElementsAre(0));
  const std::vector<double> same(100, 0.5);
  EXPECT_THAT(SurvivorsOfRace({same, same, same}, 1, 1, {}), ElementsAre(0, 1, 2));
  EXPECT_THAT(SurvivorsOfRace({}, 1, 1, {}), ElementsAre());
}

TEST(Race, AsksForMoreAtLaterLooks) {
  const auto scores = Scores({0.3, -0.1}, 150, 4);
  EXPECT_THAT(SurvivorsOfRace(scores, 1, 1, {}), ElementsAre(0));
  EXPECT_THAT(SurvivorsOfRace(scores, 1, 1000, {}), ElementsAre(0, 1));
}

TEST(Race, PairingDecidesOnFewerItems) {
  // The same scores, but the second candidate's items in another order: as if each had items of its own.
  int paired = 0, unpaired = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    auto scores = Scores({0.3, 0}, 100, seed);
    paired += SurvivorsOfRace(scores, 1, 1, {}).size() == 1;
    std::rotate(scores[1].begin(), scores[1].begin() + 37, scores[1].end());
    unpaired += SurvivorsOfRace(scores, 1, 1, {}).size() == 1;
  }
  EXPECT_GT(paired, 1.5 * unpaired);
}

TEST(Race, SeldomLosesTheBest) {
  // Eight candidates, the best by a hair, looked at after every 20 items: lost in at most 5 % of the races.
  int lost = 0, dropped = 0;
  constexpr int kRaces = 300;
  for (std::uint64_t seed = 1; seed <= kRaces; ++seed) {
    const auto all = Scores({0.05, 0, 0, 0, -0.3, -0.3, -0.6, -1}, 300, seed);
    std::vector<std::size_t> racing{0, 1, 2, 3, 4, 5, 6, 7};
    for (int look = 1; look <= 15; ++look) {
      std::vector<std::vector<double>> seen;
      for (const std::size_t i : racing) seen.emplace_back(all[i].begin(), all[i].begin() + 20 * look);
      std::vector<std::size_t> next;
      for (const std::size_t i : SurvivorsOfRace(seen, 1, look, {})) next.push_back(racing[i]);
      racing = next;
    }
    lost += racing.empty() || racing[0] != 0;
    dropped += 8 - static_cast<int>(racing.size());
  }
  EXPECT_LE(lost, kRaces * 0.05);
  EXPECT_GT(dropped, 2 * kRaces);
}

TEST(Race, RefusesScoresOfDifferentItems) {
  EXPECT_THROW(SurvivorsOfRace({{1, 2}, {1}}, 1, 1, {}), Error);
  EXPECT_THROW(SurvivorsOfRace({{1, 2}, {1, 2}}, 1, 1, {.test = "guess"}), Error);
}

}  // namespace
}  // namespace forge::evolve
