// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "model/testing_models.h"
#include "runtime/native_model.h"
#include "train/engine.h"

namespace forge::pipeline {
namespace {

// design.md: both engines on the same model, |difference of log-probs| <= 1e-4.
TEST(Engines, GiveTheSameLogProbs) {
  if (train::EnginePath().empty()) GTEST_SKIP() << "no training engine in this build";
  const std::vector<int> tokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};
  for (const char* type : {"qwen2", "llama"}) {
    model::ModelConfig config = model::testing::TinyConfig(type);
    config.tie_word_embeddings = std::string(type) == "qwen2";
    const model::ModelWeights weights = model::testing::RandomWeights(config);
    const std::vector<float> torch_logits = train::OpenEngine().Logits(config, weights, tokens, "cpu");
    const std::vector<float> native_logits = runtime::NativeModel(config, weights).Logits(tokens);
    ASSERT_EQ(torch_logits.size(), native_logits.size());
    const auto width = static_cast<std::size_t>(config.vocab_size);
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      const auto log_total = [&](const std::vector<float>& logits) {
        double sum = 0;
        for (std::size_t v = 0; v < width; ++v) sum += std::exp(static_cast<double>(logits[row * width + v]));
        return std::log(sum);
      };
      for (std::size_t v = 0; v < width; ++v)
        ASSERT_NEAR(static_cast<double>(torch_logits[row * width + v]) - log_total(torch_logits),
                    static_cast<double>(native_logits[row * width + v]) - log_total(native_logits), 1e-4);
    }
  }
}

}  // namespace
}  // namespace forge::pipeline
