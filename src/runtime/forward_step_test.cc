// SPDX-License-Identifier: Apache-2.0
// Greedy tokens by the upper halves of the head, wherever tokens are picked.
#include "runtime/forward_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "base/error.h"
#include "model/testing_models.h"
#include "runtime/serving_batch.h"
#include "runtime/session.h"
#include "runtime/ternary/best_rows.h"

namespace forge::runtime {
namespace {

using model::GenerateOptions;
using model::Generation;

/// Greedy without log-probabilities, or with them, which takes all logits.
GenerateOptions Greedy(bool log_probs, std::vector<int> banned = {}) {
  return {.max_new_tokens = 12, .banned_token_ids = std::move(banned), .log_probs = log_probs};
}

class GreedyHeadTest : public testing::TestWithParam<std::tuple<bool, CpuTarget, bool>> {
 protected:
  void SetUp() override { SetTargetForTest(std::get<1>(GetParam())); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
  static model::ModelConfig Config() {
    model::ModelConfig config = model::testing::TinyConfig();
    config.vocab_size = 3000;
    config.tie_word_embeddings = std::get<0>(GetParam());
    return config;
  }
  /// Whether the target finds the best tokens of several texts so.
  static bool FindsMany() { return std::get<2>(GetParam()) || std::get<1>(GetParam()) != CpuTarget::kAvx512; }
  NativeModel Model(GreedyHead head) const {
    return NativeModel(Config(), model::testing::RandomWeights(Config()),
                       {.linears = WeightType::kInt8,
                        .embeddings = WeightType::kInt8,
                        .activations = Activations::kInt8,
                        .greedy_head = head,
                        .rotates_head = std::get<2>(GetParam())});
  }
  static std::vector<model::GenerateRequest> Requests() {
    Random random(4, "prompts");
    std::vector<model::GenerateRequest> requests;
    for (int i = 0; i < 6; ++i) {
      requests.emplace_back();
      for (int k = 0; k <= 3 * i; ++k) requests.back().prompt.push_back(static_cast<int>(random.Below(3000)));
    }
    return requests;
  }
};

INSTANTIATE_TEST_SUITE_P(Heads, GreedyHeadTest,
                         testing::Combine(testing::Bool(), testing::ValuesIn(SupportedTargets()),
                                          testing::Bool()),
                         [](const auto& param_info) {
                           return std::string(std::get<0>(param_info.param) ? "Tied" : "Untied") + "_" +
                                  std::string(Name(std::get<1>(param_info.param))) +
                                  (std::get<2>(param_info.param) ? "_Rotated" : "");
                         });

TEST_P(GreedyHeadTest, GivesTheTokensOfAllLogitsAloneInABatchInASessionAndServed) {
  NativeModel model = Model(GreedyHead::kTopK);
  const std::vector<model::GenerateRequest> requests = Requests();
  const std::vector<Generation> expected = model.Generate(requests, Greedy(true));
  ASSERT_EQ(model.transformer().best_token_counts().tokens, 0u);
  const std::vector<Generation> together = model.Generate(requests, Greedy(false));
  std::uint64_t counted = model.transformer().best_token_counts().tokens;
  EXPECT_EQ(counted == 6u * 12, FindsMany()) << counted;  // else those that run alone
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_EQ(expected[i].tokens.size(), 12u);
    EXPECT_EQ(expected[i].log_probs.size(), 12u);
    EXPECT_EQ(together[i].tokens, expected[i].tokens) << i;
    EXPECT_TRUE(together[i].log_probs.empty());
    const Generation alone = model.Generate(std::span(&requests[i], 1), Greedy(false))[0];
    EXPECT_EQ(alone.tokens, expected[i].tokens) << i;
    EXPECT_TRUE(alone.log_probs.empty());
    Session session(model);
    const Generation said = session.Generate(requests[i], Greedy(false));
    EXPECT_EQ(said.tokens, expected[i].tokens) << i;
    EXPECT_TRUE(said.log_probs.empty());
    std::vector<int> served;
    ServingBatch batch(model.transformer(), {.prompt_tokens_per_step = 4});
    batch.Join({.prompt = std::make_shared<const std::vector<int>>(requests[i].prompt),
                .options = Greedy(false),
                .on_prompt = {},
                .on_token =
                    [&](const ScoredToken& token) {
                      served.push_back(token.token);
                      return true;
                    },
                .on_end = {}});
    while (!batch.empty()) batch.Step();
    EXPECT_EQ(served, expected[i].tokens) << i;
    const BestTokenCounts counts = model.transformer().best_token_counts();
    EXPECT_EQ(counts.tokens, counted + 3 * 12) << i;
    counted = counts.tokens;
  }
  const BestTokenCounts counts = model.transformer().best_token_counts();
  EXPECT_GE(counts.exact_rows, counts.tokens * 16 * kCodeRows);
  EXPECT_LT(counts.exact_rows, counts.tokens * 3000);
  EXPECT_LT(counts.fallbacks, counts.tokens);
}

TEST_P(GreedyHeadTest, IsUsedOnlyWhereTheTokenIsAllThatIsAskedFor) {
  NativeModel model = Model(GreedyHead::kTopK), full = Model(GreedyHead::kFull);
  const model::GenerateRequest request = Requests()[2];
  const auto counted = [&](NativeModel& of, const GenerateOptions& options) {
    Session(of).Generate(request, options);
    of.Generate(std::span(&request, 1), options);
    return of.transformer().best_token_counts().tokens;
  };
  GenerateOptions sampled = Greedy(false);
  sampled.temperature = 1;
  EXPECT_EQ(counted(model, Greedy(true)), 0u);
  EXPECT_EQ(counted(model, sampled), 0u);
  EXPECT_EQ(counted(full, Greedy(false)), 0u);
  const std::vector<int> expected = full.Generate(std::span(&request, 1), Greedy(true))[0].tokens;
  std::size_t scored = 0;
  const auto serve = [&](int top, bool scores_prompt, std::size_t piece) {
    ServingBatch batch(model.transformer(), {.prompt_tokens_per_step = piece});
    std::vector<int> tokens;
    ServingRequest served{.prompt = std::make_shared<const std::vector<int>>(request.prompt),
                          .options = Greedy(false),
                          .top = top,
                          .on_prompt = {},
                          .on_token =
                              [&](const ScoredToken& token) {
                                EXPECT_EQ(token.top.size(), static_cast<std::size_t>(top));
                                tokens.push_back(token.token);
                                return true;
                              },
                          .on_end = {}};
    if (scores_prompt)
      served.on_prompt = [&](std::span<const ScoredToken> of_prompt) { scored += of_prompt.size(); };
    batch.Join(std::move(served));
    while (!batch.empty()) batch.Step();
    EXPECT_EQ(tokens, expected);
    return model.transformer().best_token_counts().tokens;
  };
  EXPECT_EQ(serve(2, false, 64), 0u);
  EXPECT_EQ(serve(0, true, 64), 11u);  // all but the first, whose step scores the prompt
  EXPECT_EQ(scored, 6u);
  EXPECT_EQ(serve(0, true, 1), 11u + 12);  // the prompt's tokens come alone, and are scored
  EXPECT_EQ(scored, 2 * 6u);
  EXPECT_EQ(serve(0, false, 64), 23u + 12);
  EXPECT_EQ(counted(model, Greedy(false)), 35u + 24);
}

/// Sequences side by side, of which one may ask for more than the token.
TEST_P(GreedyHeadTest, ServesSeveralByTheirBestTokensIfThatIsAllTheyAskFor) {
  NativeModel model = Model(GreedyHead::kTopK);
  const std::vector<model::GenerateRequest> requests = Requests();
  std::vector<GenerateOptions> options(requests.size(), Greedy(false));
  const int first = model.Generate(std::span(&requests[2], 1), Greedy(true))[0].tokens[0];
  options[2].banned_token_ids = {first};
  const auto serve = [&](int top) {
    std::vector<std::vector<int>> tokens(requests.size());
    ServingBatch batch(model.transformer(), {.prompt_tokens_per_step = 64});
    for (std::size_t i = 0; i < requests.size(); ++i)
      batch.Join({.prompt = std::make_shared<const std::vector<int>>(requests[i].prompt),
                  .options = options[i],
                  .top = i == 1 ? top : 0,
                  .on_prompt = {},
                  .on_token =
                      [&, i](const ScoredToken& token) {
                        tokens[i].push_back(token.token);
                        return true;
                      },
                  .on_end = {}});
    while (!batch.empty()) batch.Step();
    return tokens;
  };
  for (const int top : {0, 1}) {
    const std::uint64_t before = model.transformer().best_token_counts().tokens;
    const std::vector<std::vector<int>> tokens = serve(top);
    EXPECT_EQ(model.transformer().best_token_counts().tokens - before,
              FindsMany() && top == 0 ? 6u * 12 : 0u);
    for (std::size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ(
          tokens[i],
          model.Generate(std::span(&requests[i], 1), Greedy(true, options[i].banned_token_ids))[0].tokens);
  }
}

TEST_P(GreedyHeadTest, KeepsToBannedTokens) {
  NativeModel model = Model(GreedyHead::kTopK);
  const model::GenerateRequest request = Requests()[1];
  const std::vector<int> banned = model.Generate(std::span(&request, 1), Greedy(true))[0].tokens;
  const Generation expected = model.Generate(std::span(&request, 1), Greedy(true, banned))[0];
  EXPECT_EQ(model.Generate(std::span(&request, 1), Greedy(false, banned))[0].tokens, expected.tokens);
  EXPECT_THAT(expected.tokens, testing::Each(testing::Not(testing::AnyOfArray(banned))));
  const std::vector<model::GenerateRequest> twice{request, request};
  for (const Generation& one : model.Generate(twice, Greedy(false, banned)))
    EXPECT_EQ(one.tokens, expected.tokens);
  std::vector<int> all(3000);
  for (int id = 0; id < 3000; ++id) all[static_cast<std::size_t>(id)] = id;
  for (const bool log_probs : {true, false})
    EXPECT_THROW(model.Generate(std::span(&request, 1), Greedy(log_probs, all)), Error);
}

TEST(GreedyHead, IsNotToBeHadForHeadsInOtherForms) {
  const model::ModelConfig config = model::testing::TinyConfig();
  for (const WeightType type : {WeightType::kFloat32, WeightType::kInt4}) {
    NativeModel model(config, model::testing::RandomWeights(config),
                      {.embeddings = type, .activations = Activations::kInt8});
    EXPECT_FALSE(model.transformer().CanFindBestTokens(1));
    EXPECT_EQ(model.transformer().lower_half_bytes(), 0u);
    const model::GenerateRequest request{{1, 2}};
    EXPECT_EQ(model.Generate(std::span(&request, 1), Greedy(false))[0].tokens,
              model.Generate(std::span(&request, 1), Greedy(true))[0].tokens);
  }
}

}  // namespace
}  // namespace forge::runtime
