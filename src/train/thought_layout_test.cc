// SPDX-License-Identifier: Apache-2.0
#include "train/thought_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/optimizer_config.h"
#include "train/thought_job.h"

namespace forge::train {
namespace {

using testing::ElementsAre;

std::vector<int> VisibleKeys(const ThoughtLayout& layout, int query) {
  const std::vector<bool> visible = layout.Visible();
  std::vector<int> keys;
  for (int key = 0; key < layout.size(); ++key)
    if (visible[static_cast<std::size_t>(query * layout.size() + key)]) keys.push_back(key);
  return keys;
}

// quiet-star.md 1.2: the published code, run with text length 10 and a thought at every position; position 3.
TEST(ThoughtLayout, HasTheMaskOfThePublishedCode) {
  ThoughtLayout layout{.text_length = 10, .passes = 3};
  for (int j = 0; j < 10; ++j) layout.anchors.push_back(j);
  EXPECT_THAT(VisibleKeys(layout, 3), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(VisibleKeys(layout, layout.Index(1, 3)), ElementsAre(0, 1, 2, 3, 13));
  EXPECT_THAT(VisibleKeys(layout, layout.Index(2, 3)), ElementsAre(0, 1, 2, 3, 13, 23));
  EXPECT_THAT(VisibleKeys(layout, layout.Index(3, 3)), ElementsAre(0, 1, 2, 3, 13, 23, 33));
}

TEST(ThoughtLayout, CountsPositionsAsIfTheThoughtStoodInTheText) {
  const ThoughtLayout layout{.text_length = 4, .anchors = {1, 3}, .passes = 3};
  EXPECT_THAT(layout.Positions(), ElementsAre(0, 1, 2, 3, 2, 4, 3, 5, 4, 6));
}

TEST(LearningRate, WarmsUpThenFallsToItsFinalShare) {
  const OptimizerConfig config{.learning_rate = 1, .final_learning_rate_ratio = 0.1, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(LearningRate(config, 0, 20), 0.25);
  EXPECT_DOUBLE_EQ(LearningRate(config, 3, 20), 1);
  EXPECT_DOUBLE_EQ(LearningRate(config, 4, 20), 1);
  EXPECT_NEAR(LearningRate(config, 19, 20), 0.1, 1e-12);
  for (int step = 5; step < 20; ++step)
    EXPECT_LT(LearningRate(config, step, 20), LearningRate(config, step - 1, 20));
}

TEST(MixingHead, StartsWithTheWeightOfItsBiasEverywhere) {
  const MixingHead head = MakeMixingHead(6, 1);
  const std::vector<float> a(6, 0.4f), b(6, -1.5f);
  EXPECT_NEAR(MixingWeight(head, a.data(), b.data()), 1 / (1 + std::exp(2.0)), 1e-7);  // sigmoid(-2) = 0.1192
}

}  // namespace
}  // namespace forge::train
