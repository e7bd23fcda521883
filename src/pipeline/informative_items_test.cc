// SPDX-License-Identifier: Apache-2.0
#include "pipeline/informative_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "evolve/ability.h"

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;

/// Nine models of abilities from -2 to 2, and what is expected of them on items {discrimination, difficulty}.
std::vector<Scores> Anchors(const std::vector<evolve::AbilityItem>& items) {
  std::vector<Scores> anchors;
  for (int a = -4; a <= 4; ++a) {
    Scores& scores = anchors.emplace_back(1);
    for (const evolve::AbilityItem& item : items)
      scores[0].push_back(evolve::AnswerProbability(item, a / 2.0));
  }
  return anchors;
}
const std::vector<Scores> kAnchors = Anchors({{1, -2.5}, {1, 1.5}, {2, 1.5}, {1, -0.5}});

TEST(ItemsByInformation, PutsFirstWhatTellsGoodModelsApart) {
  const std::vector<std::vector<int>> order = ItemsByInformation(kAnchors, {false});
  EXPECT_THAT(order, ElementsAre(ElementsAre(2, 1, 3, 0)));  // sharp and hard, hard, easy, too easy
}

TEST(ItemsByInformation, TakesLogarithmsForTheirProbabilities) {
  std::vector<Scores> anchors{{{0.9, 0.2, 0.1, 0.3}}, {{0.95, 0.2, 0.7, 0.3}}, {{0.97, 0.9, 0.8, 0.3}}};
  const std::vector<std::vector<int>> order = ItemsByInformation(anchors, {false});
  for (Scores& anchor : anchors)
    for (double& answer : anchor[0]) answer = std::log(answer);
  EXPECT_EQ(ItemsByInformation(anchors, {true}), order);
}

TEST(ItemsByInformation, OrdersEachDomainByItself) {
  std::vector<Scores> anchors = kAnchors;
  for (Scores& anchor : anchors) anchor.push_back({anchor[0][0], anchor[0][2]});
  const std::vector<std::vector<int>> order = ItemsByInformation(anchors, {false, false});
  EXPECT_EQ(order[0].size(), 4u);
  EXPECT_THAT(order[1], ElementsAre(1, 0));
}

TEST(ItemsByInformation, KeepsTheStoredOrderOfEquals) {
  EXPECT_THAT(ItemsByInformation({{{1, 1, 1}}, {{0, 0, 0}}}, {false}), ElementsAre(ElementsAre(0, 1, 2)));
}

}  // namespace
}  // namespace forge::pipeline
