// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/testing_models.h"
#include "reason/bake_targets.h"
#include "reason/reason_verdict.h"
#include "reason/thought_arms.h"
#include "text/byte_tokenizer.h"

namespace forge::reason {
namespace {

TEST(IsRight, TakesTheLastNumberWhereTheGoldAnswerIsOne) {
  EXPECT_TRUE(IsRight("5", "5"));
  EXPECT_TRUE(IsRight("$1,234.00.", "1234"));
  EXPECT_TRUE(IsRight("10 apples, so 7", "7"));
  EXPECT_FALSE(IsRight("7 of 10", "7"));
  EXPECT_FALSE(IsRight("15", "5"));
  EXPECT_FALSE(IsRight("", "5"));
  EXPECT_TRUE(IsRight("abc", "abc"));
  EXPECT_FALSE(IsRight("ab", "abc"));
}

std::vector<bool> Right(int right, int n) {
  std::vector<bool> result(static_cast<std::size_t>(n));
  std::fill_n(result.begin(), right, true);
  return result;
}

ArmResults Good() {
  return {.a0 = Right(15, 100),
          .a1 = Right(95, 100),
          .a2 = Right(16, 100),
          .a3 = Right(14, 100),
          .c0 = Right(15, 100),
          .b0 = Right(90, 100),
          .b1 = Right(95, 100),
          .guards = {{"code", {{1, 1, 0}, {1, 1, 0}}}}};
}

// Retention (90 - 15) / (95 - 15) = 0.9375.
TEST(Verdict, BakesWhenEveryConditionHolds) {
  const ReasonVerdict verdict = Judge(Good(), {}, 1);
  EXPECT_TRUE(verdict.baked);
  EXPECT_NEAR(*verdict.retention, 0.9375, 1e-12);
  EXPECT_LE(verdict.retention_interval->low, 0.9375);
  EXPECT_NEAR(verdict.thought_gain, 0.8, 1e-12);
}

TEST(Verdict, SaysNoGainForEachConditionThatFails) {
  ArmResults placebo = Good(), control = Good(), guard = Good(), useless = Good();
  placebo.a2 = Right(95, 100);
  control.c0 = Right(90, 100);
  guard.guards["code"].second = {1, 0, 0};
  useless.a1 = useless.a0;
  for (const ArmResults& results : {placebo, control, guard, useless}) {
    const ReasonVerdict verdict = Judge(results, {}, 1);
    EXPECT_FALSE(verdict.baked);
    EXPECT_FALSE(verdict.why.empty());
  }
}

class Thinking : public testing::Test {
 protected:
  Thinking() {
    config_.vocab_size = 264;
    config_.eos_token_ids = {256};
    weights_ = model::testing::RandomWeights(config_);
    model_ = std::make_unique<runtime::NativeModel>(config_, weights_);
    thinker_ = {model_.get(),
                &tokenizer_,
                {.opening = {257},
                 .closing = {258},
                 .suffix = "=",
                 .thought_length = 3,
                 .answer_length = 2,
                 .banned = {257, 258}},
                std::nullopt};
  }
  model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights weights_;
  text::Tokenizer tokenizer_{text::MakeByteTokenizer()};
  std::unique_ptr<runtime::NativeModel> model_;
  ThinkingModel thinker_;
  std::vector<Question> questions_{{"1+1", "2"}, {"2+5", "0"}, {"3", "3"}};
};

TEST_F(Thinking, ThoughtsHaveTheirLengthAndNoBannedToken) {
  for (const bool sampled : {false, true})
    for (const std::vector<int>& thought : Think(thinker_, questions_, sampled, 5)) {
      EXPECT_EQ(thought.size(), 3u);
      for (const int token : thought) EXPECT_TRUE(token < 256 || token > 258) << token;
    }
  EXPECT_EQ(Think(thinker_, questions_, true, 5), Think(thinker_, questions_, true, 5));
}

// An answer may end with the newline that a thought must not hold.
TEST_F(Thinking, WhatIsBannedInThoughtsMayEndAnAnswer) {
  const auto free_answers = Answer(thinker_, questions_, {});
  thinker_.format.banned_in_thought.clear();
  for (int id = 0; id < 200; ++id) thinker_.format.banned_in_thought.push_back(id);
  EXPECT_EQ(Answer(thinker_, questions_, {}), free_answers);
  for (const std::vector<int>& thought : Think(thinker_, questions_, false, 0))
    for (const int token : thought) EXPECT_GE(token, 200);
}

// quiet-star.md 5.7, test 3: weight 0 is the base model, weight 1 the model after the thought.
TEST_F(Thinking, TheMixingHeadAtItsEndsGivesTheBaseAndTheThoughtPrediction) {
  const auto thoughts = Think(thinker_, questions_, false, 0);
  const auto direct = FirstTokenProbabilities(thinker_, questions_, {}),
             after = FirstTokenProbabilities(thinker_, questions_, thoughts);
  for (const float bias : {-1e9f, 1e9f}) {
    thinker_.mixing_head = train::MakeMixingHead(config_.hidden_size, 1);
    thinker_.mixing_head->b3 = bias;
    const auto mixed = FirstTokenProbabilities(thinker_, questions_, thoughts);
    for (std::size_t i = 0; i < questions_.size(); ++i)
      EXPECT_THAT(mixed[i], testing::Pointwise(testing::FloatNear(1e-7f), bias < 0 ? direct[i] : after[i]));
  }
}

// quiet-star.md 5.7, test 8: the target is the mean over thoughts, and without thoughts the model's own
// distribution.
TEST_F(Thinking, BakeTargetsAreTheMeanOverSampledThoughts) {
  const auto targets = MakeBakeTargets(thinker_, questions_, 2, 7);
  const auto first = FirstTokenProbabilities(thinker_, questions_, Think(thinker_, questions_, true, 7 * 64));
  const auto second =
      FirstTokenProbabilities(thinker_, questions_, Think(thinker_, questions_, true, 7 * 64 + 1));
  for (std::size_t i = 0; i < questions_.size(); ++i) {
    double total = 0;
    for (const auto& [id, probability] : targets[i].probabilities) {
      EXPECT_NEAR(probability,
                  (first[i][static_cast<std::size_t>(id)] + second[i][static_cast<std::size_t>(id)]) / 2,
                  5e-3);
      total += static_cast<double>(probability);
    }
    EXPECT_NEAR(total, 1, 1e-5);
    EXPECT_EQ(tokenizer_.Decode(
                  std::span(targets[i].tokens).first(static_cast<std::size_t>(targets[i].answer_position))),
              questions_[i].prompt + "=");
  }
  const auto control = MakeBakeTargets(thinker_, questions_, 0, 7);
  const auto direct = FirstTokenProbabilities(thinker_, questions_, {});
  for (const auto& [id, probability] : control[0].probabilities)
    EXPECT_NEAR(probability, direct[0][static_cast<std::size_t>(id)], 5e-3);
}

TEST_F(Thinking, MetaTokensReplaceTwoRowsOnly) {
  const std::vector<float> start(64, 0.5f), end(64, -0.5f);
  const model::ModelWeights changed = WithMetaTokens(weights_, 257, start, 258, end);
  const auto& before = weights_.at("model.embed_tokens.weight").values;
  const auto& after = changed.at("model.embed_tokens.weight").values;
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(after[i], i / 64 == 257 ? 0.5f : i / 64 == 258 ? -0.5f : before[i]);
}

}  // namespace
}  // namespace forge::reason
