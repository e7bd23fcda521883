// SPDX-License-Identifier: Apache-2.0
#include "compress/divergence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

using model::testing::RandomWeights;
using model::testing::TinyConfig;

std::vector<std::vector<int>> Texts() {
  std::vector<std::vector<int>> texts(4);
  for (int t = 0; t < 4; ++t)
    for (int i = 0; i < 25; ++i) texts[static_cast<std::size_t>(t)].push_back((i * i + 7 * t + i / 3) % 40);
  return texts;
}

TEST(MeasureDivergence, IsNothingForTheSameModel) {
  runtime::NativeModel a(TinyConfig(), RandomWeights(TinyConfig())),
      b(TinyConfig(), RandomWeights(TinyConfig()));
  const Divergence divergence = MeasureDivergence(a, b, Texts(), {});
  EXPECT_EQ(divergence.positions, 100);
  EXPECT_NEAR(divergence.mean, 0, 1e-12);
  EXPECT_NEAR(divergence.p95, 0, 1e-12);
  EXPECT_EQ(divergence.top1, 1);
  EXPECT_EQ(divergence.top5, 1);
}

TEST(MeasureDivergence, IsWhatTheDefinitionSays) {
  const model::ModelConfig config = TinyConfig();
  model::ModelWeights weights = RandomWeights(config);
  for (float& value : weights.at("model.norm.weight").values) value *= 20;
  model::ModelWeights other = weights;
  for (float& value : other.at("model.layers.1.mlp.down_proj.weight").values) value *= 9;
  runtime::NativeModel a(config, weights), b(config, other);
  const std::vector<std::vector<int>> texts = Texts();
  double mean = 0, top1 = 0;
  for (const std::vector<int>& text : texts) {
    const auto p = a.Logits(text), q = b.Logits(text);
    for (std::size_t t = 0; t < text.size(); ++t) {
      double sum_p = 0, sum_q = 0, divergence = 0;
      std::size_t best_p = 0, best_q = 0;
      for (std::size_t v = 0; v < 40; ++v) {
        sum_p += std::exp(double{p[t * 40 + v]});
        sum_q += std::exp(double{q[t * 40 + v]});
        if (p[t * 40 + v] > p[t * 40 + best_p]) best_p = v;
        if (q[t * 40 + v] > q[t * 40 + best_q]) best_q = v;
      }
      for (std::size_t v = 0; v < 40; ++v)
        divergence +=
            std::exp(double{p[t * 40 + v]}) / sum_p *
            std::log(std::exp(double{p[t * 40 + v]}) / sum_p / (std::exp(double{q[t * 40 + v]}) / sum_q));
      mean += divergence / 100;
      top1 += best_p == best_q ? 0.01 : 0;
    }
  }
  const Divergence divergence = MeasureDivergence(a, b, texts, {});
  EXPECT_GT(mean, 1e-4);
  EXPECT_NEAR(divergence.mean, mean, 1e-5 * (1 + mean));
  EXPECT_NEAR(divergence.top1, top1, 1e-9);
  EXPECT_GT(divergence.top5, divergence.top1);
  EXPECT_GE(divergence.p95, divergence.mean * 0.5);
}

TEST(DistinctTriples, IsLowForAModelThatRepeatsItself) {
  const model::ModelConfig config = TinyConfig();
  model::ModelWeights constant = RandomWeights(config);
  for (auto& [name, tensor] : constant)  // nothing but the embedding of the last token: it likes itself best
    if (name.find("proj.weight") != std::string::npos)
      std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
  runtime::NativeModel repeats(config, constant), other(config, RandomWeights(config));
  EXPECT_LT(DistinctTriples(repeats, Texts(), 30), 0.1);
  EXPECT_GT(DistinctTriples(other, Texts(), 30), DistinctTriples(repeats, Texts(), 30));
  EXPECT_EQ(DistinctTriples(other, {}, 30), 1);
}

}  // namespace
}  // namespace forge::compress
