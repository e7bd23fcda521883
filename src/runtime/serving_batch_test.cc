// SPDX-License-Identifier: Apache-2.0
#include "runtime/serving_batch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::runtime {
namespace {

/// What one sequence got.
struct Heard {
  std::vector<int> tokens;
  std::vector<float> log_probs;
  std::vector<ScoredToken> prompt;
  std::vector<std::vector<TokenProbability>> top;
  std::optional<SequenceEnd> end;
  int step_of_first = -1;
};

class ServingBatchTest : public testing::TestWithParam<KeyValueType> {
 protected:
  std::vector<int> Tokens(int count) {
    std::vector<int> ids;
    for (int i = 0; i < count; ++i) ids.push_back(static_cast<int>(random_.Below(40)));
    return ids;
  }
  ServingRequest Request(std::vector<int> prompt, const model::GenerateOptions& options, Heard& heard) {
    return {.prompt = std::make_shared<const std::vector<int>>(std::move(prompt)),
            .options = options,
            .seed = 7,
            .on_prompt = {},
            .on_token =
                [this, &heard](const ScoredToken& token) {
                  if (heard.tokens.empty()) heard.step_of_first = step_;
                  heard.tokens.push_back(token.token);
                  heard.log_probs.push_back(token.log_prob);
                  heard.top.push_back(token.top);
                  return true;
                },
            .on_end = [&heard](SequenceEnd end) { heard.end = end; }};
  }
  model::Generation Alone(const ServingRequest& request) {
    const model::GenerateRequest single{*request.prompt, request.seed};
    return model_.Generate(std::span(&single, 1), request.options)[0];
  }
  void Run(ServingBatch& batch) {
    for (; !batch.empty(); ++step_) batch.Step();
  }

  const model::ModelConfig config_ = model::testing::TinyConfig();
  NativeModel model_{config_, model::testing::RandomWeights(config_), {.key_values = GetParam()}};
  Random random_{3, "prompts"};
  int step_ = 0;
};

INSTANTIATE_TEST_SUITE_P(KeysAndValues, ServingBatchTest,
                         testing::Values(KeyValueType::kFloat32, KeyValueType::kFloat16, KeyValueType::kInt8),
                         [](const auto& param_info) {
                           return param_info.param == KeyValueType::kFloat32   ? "Float32"
                                  : param_info.param == KeyValueType::kFloat16 ? "Float16"
                                                                               : "Int8";
                         });

TEST_P(ServingBatchTest, GivesEachSequenceTheBitsItGetsAloneWhoeverJoinsAndLeaves) {
  for (const std::size_t piece : {1u, 5u, 64u}) {
    ServingBatch batch(model_.transformer(), {.prompt_tokens_per_step = piece});
    std::vector<Heard> heard(12);
    std::vector<ServingRequest> requests;
    for (std::size_t i = 0; i < heard.size(); ++i) {
      const model::GenerateOptions options{.max_new_tokens = 3 + static_cast<int>(i),
                                           .temperature = i % 3 * 0.7,
                                           .top_p = i % 2 ? 0.8 : 1,
                                           .top_k = i % 4 == 1 ? 5 : 0,
                                           .stop_token_ids = {3}};
      requests.push_back(Request(Tokens(1 + static_cast<int>(i * 7 % 60)), options, heard[i]));
    }
    Heard gone;
    const ServingBatch::Id leaves =
        batch.Join(Request(Tokens(90), {.max_new_tokens = 30, .temperature = 1}, gone));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      batch.Join(requests[i]);
      for (std::size_t steps = 0; steps < i % 3; ++steps) batch.Step();
      if (i == 7) batch.Leave(leaves);
    }
    Run(batch);
    EXPECT_FALSE(gone.end);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const model::Generation alone = Alone(requests[i]);
      EXPECT_EQ(heard[i].tokens, alone.tokens) << i;
      EXPECT_EQ(heard[i].log_probs, alone.log_probs) << i;
      EXPECT_EQ(heard[i].end, alone.stopped ? SequenceEnd::kStopToken : SequenceEnd::kLimit) << i;
    }
    EXPECT_EQ(batch.key_value_bytes(), 0u);
  }
}

TEST_P(ServingBatchTest, ComputesASharedPromptOnce) {
  const auto prompt = std::make_shared<const std::vector<int>>(Tokens(50));
  for (const std::size_t piece : {7u, 500u}) {
    ServingBatch batch(model_.transformer(), {.prompt_tokens_per_step = piece});
    std::vector<Heard> heard(4);
    std::vector<ServingRequest> requests;
    for (std::size_t i = 0; i < heard.size(); ++i) {
      requests.push_back(Request({}, {.max_new_tokens = 6, .temperature = 1}, heard[i]));
      requests[i].prompt = prompt;
      requests[i].shares_prompt = true;
      requests[i].seed = i;
      if (i == 3) batch.Step();  // one that comes later
      batch.Join(requests[i]);
    }
    Run(batch);
    EXPECT_EQ(batch.prompt_tokens(), 49u + 4);
    for (std::size_t i = 0; i < heard.size(); ++i) EXPECT_EQ(heard[i].tokens, Alone(requests[i]).tokens) << i;
    EXPECT_EQ(batch.key_value_bytes(), 0u);
  }
}

TEST_P(ServingBatchTest, DoesNotLetALongPromptKeepTheOthersWaiting) {
  ServingBatch batch(model_.transformer(), {.prompt_tokens_per_step = 10});
  Heard writes, reads, is_short;
  batch.Join(Request(Tokens(2), {.max_new_tokens = 40}, writes));
  batch.Step();
  batch.Join(Request(Tokens(100), {.max_new_tokens = 2}, reads));
  batch.Join(Request(Tokens(5), {.max_new_tokens = 2}, is_short));
  for (step_ = 1; step_ < 12; ++step_) {
    batch.Step();
    if (writes.end) continue;  // by a stop
    EXPECT_EQ(writes.tokens.size(), static_cast<std::size_t>(step_) + 1);
  }
  EXPECT_EQ(is_short.step_of_first, 1);  // half of the step was its own
  EXPECT_EQ(reads.step_of_first, 11);    // 5 tokens, then 10 a step: the 100th in the tenth step after
}

TEST_P(ServingBatchTest, ScoresThePromptAsVisitScoresDoes) {
  const std::vector<int> prompt = Tokens(70);
  std::vector<double> expected(prompt.size());
  std::vector<int> best(prompt.size());
  const model::ScoredSequence whole{prompt, 1};
  model_.VisitScores(std::span(&whole, 1),
                     [&](std::size_t, std::size_t position, const float* logits, double log_prob) {
                       expected[position] = log_prob;
                       best[position] = static_cast<int>(std::max_element(logits, logits + 40) - logits);
                     });
  for (const int limit : {0, 2}) {
    ServingBatch batch(model_.transformer(), {.prompt_tokens_per_step = 66});
    Heard heard;
    ServingRequest request = Request(prompt, {.max_new_tokens = limit}, heard);
    request.top = 3;
    request.on_prompt = [&](std::span<const ScoredToken> tokens) {
      heard.prompt.insert(heard.prompt.end(), tokens.begin(), tokens.end());
    };
    batch.Join(request);
    Run(batch);
    ASSERT_EQ(heard.prompt.size(), prompt.size() - 1);
    for (std::size_t i = 1; i < prompt.size(); ++i) {
      const ScoredToken& scored = heard.prompt[i - 1];
      EXPECT_EQ(scored.token, prompt[i]);
      EXPECT_EQ(scored.log_prob, static_cast<float>(expected[i]));
      ASSERT_EQ(scored.top.size(), 3u);
      EXPECT_EQ(scored.top[0].token, best[i]);
      EXPECT_GE(scored.top[0].log_prob, scored.top[1].log_prob);
      EXPECT_GE(scored.top[1].log_prob, scored.top[2].log_prob);
    }
    EXPECT_EQ(heard.tokens.size(), static_cast<std::size_t>(limit));
    EXPECT_EQ(heard.end, SequenceEnd::kLimit);
  }
}

TEST_P(ServingBatchTest, GivesTheTokenItselfAsTheMostProbableWhenGreedy) {
  ServingBatch batch(model_.transformer(), {});
  Heard heard;
  ServingRequest request = Request(Tokens(9), {.max_new_tokens = 5}, heard);
  request.top = 40;
  batch.Join(request);
  Run(batch);
  for (std::size_t i = 0; i < heard.tokens.size(); ++i) {
    EXPECT_EQ(heard.top[i][0].token, heard.tokens[i]);
    EXPECT_EQ(heard.top[i][0].log_prob, heard.log_probs[i]);
    double total = 0;
    for (const TokenProbability& entry : heard.top[i]) total += std::exp(static_cast<double>(entry.log_prob));
    EXPECT_NEAR(total, 1, 1e-5);  // all 40 tokens are in it; float32 log-probabilities are off by 1e-7 each
  }
}

TEST_P(ServingBatchTest, EndsAtTheEndOfTheContextAndWhenToldTo) {
  ServingBatch batch(model_.transformer(), {});
  Heard full, stopped;
  batch.Join(Request(Tokens(config_.max_position_embeddings), {.max_new_tokens = 9}, full));
  ServingRequest request = Request(Tokens(4), {.max_new_tokens = 9, .temperature = 1}, stopped);
  request.on_token = [&](const ScoredToken& token) {
    stopped.tokens.push_back(token.token);
    return stopped.tokens.size() < 3;
  };
  batch.Join(request);
  Run(batch);
  EXPECT_EQ(full.tokens.size(), 1u);  // the last token needs no place
  EXPECT_EQ(full.end, SequenceEnd::kLimit);
  EXPECT_EQ(stopped.tokens.size(), 3u);
  EXPECT_EQ(stopped.end, SequenceEnd::kStopped);
}

TEST_P(ServingBatchTest, SetsAsideWhatASequenceMayNeed) {
  Heard heard;
  const ServingRequest request = Request(Tokens(20), {.max_new_tokens = 12}, heard);
  const std::size_t bytes = ServingBatch(model_.transformer(), {}).BytesFor(request);
  ServingBatch batch(model_.transformer(), {.max_sequences = 3, .key_value_bytes = 2 * bytes});
  batch.Join(request);
  EXPECT_GT(batch.key_value_bytes(), 0u);
  EXPECT_LE(batch.key_value_bytes(), bytes);
  ASSERT_TRUE(batch.HasRoomFor(request));
  batch.Join(request);
  EXPECT_FALSE(batch.HasRoomFor(request));
  ServingBatch narrow(model_.transformer(), {.max_sequences = 1});
  narrow.Join(request);
  EXPECT_FALSE(narrow.HasRoomFor(request));
}

}  // namespace
}  // namespace forge::runtime
