// SPDX-License-Identifier: Apache-2.0
#include "runtime/batch_generator.h"

#include <gtest/gtest.h>

#include <atomic>

#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::runtime {
namespace {

TEST(BatchGenerator, ComputesCommonBeginningsOnceAndGivesTheBitsOfEachPromptAlone) {
  const model::ModelConfig config = model::testing::TinyConfig();
  NativeModel model(config, model::testing::RandomWeights(config));
  Random random(3, "prompts");
  const auto tokens = [&](int count) {
    std::vector<int> ids;
    for (int i = 0; i < count; ++i) ids.push_back(static_cast<int>(random.Below(40)));
    return ids;
  };
  const auto after = [](std::vector<int> text, const std::vector<int>& more) {
    text.insert(text.end(), more.begin(), more.end());
    return text;
  };
  // Examples, a question behind them, and three samples of it; a text that ends inside the examples.
  const std::vector<int> examples = tokens(50), question = after(examples, tokens(30));
  std::vector<model::GenerateRequest> requests{{question, 1},
                                               {after(examples, tokens(20)), 4},
                                               {question, 2},
                                               {{5}, 6},
                                               {std::vector<int>(examples.begin(), examples.begin() + 49), 7},
                                               {question, 3},
                                               {tokens(60), 8}};
  const model::GenerateOptions options{.max_new_tokens = 8, .temperature = 1};
  std::atomic<std::size_t> rows = 0;
  model.ObserveLinearInputs([&](int layer, LinearInput input, const float*, std::size_t count, std::size_t) {
    if (layer == 0 && input == LinearInput::kAttention) rows += count;
  });
  std::vector<const std::vector<int>*> prompts;
  for (const model::GenerateRequest& request : requests) prompts.push_back(&request.prompt);
  std::vector<model::Generation> together(requests.size());
  const std::vector<std::size_t> order = OrderByTokens(prompts);
  BatchGenerator(model.transformer(), requests, order, options).Run(together);
  const std::size_t new_tokens = requests.size() * 7;  // the last one is not run
  EXPECT_EQ(rows, 48u + 31 + 3 * 1 + 22 + 1 + 1 + 60 + new_tokens);
  model.ObserveLinearInputs({});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto alone = model.Generate(std::span(&requests[i], 1), options);
    EXPECT_EQ(together[i].tokens, alone[0].tokens) << i;
    EXPECT_EQ(together[i].log_probs, alone[0].log_probs) << i;
  }
}

}  // namespace
}  // namespace forge::runtime
