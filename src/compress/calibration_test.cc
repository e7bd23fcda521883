// SPDX-License-Identifier: Apache-2.0
#include "compress/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/testing_models.h"

namespace forge::compress {
namespace {

using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::TinyConfig;
using ::testing::ElementsAre;

const std::vector<std::vector<int>> kTexts{{7, 1, 33, 12}, {12, 0, 39, 5, 20, 21, 22}, {8}};

// The input of q, k and v of layer 0 is the normed embedding of each token, whatever the rest of the model
// does.
TEST(CollectSecondMoments, EqualsTheMeanSquareOfTheNormedEmbeddingsInLayerZero) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  runtime::NativeModel model(config, weights);
  const SecondMoments moments = CollectSecondMoments(model, kTexts);
  std::vector<double> expected(64);
  for (const std::vector<int>& text : kTexts)
    for (const int token : text) {
      const float* row = weights.at("model.embed_tokens.weight").values.data() + token * 64;
      double square = 0;
      for (int i = 0; i < 64; ++i) square += double{row[i]} * row[i] / 64;
      for (int i = 0; i < 64; ++i)
        expected[static_cast<std::size_t>(i)] +=
            std::pow(
                row[i] *
                    weights.at("model.layers.0.input_layernorm.weight").values[static_cast<std::size_t>(i)],
                2) /
            (square + 1e-5) / 12;
    }
  for (const char* name : {"q", "k", "v"}) {
    const std::vector<float>& h =
        moments.at(std::string("model.layers.0.self_attn.") + name + "_proj.weight");
    ASSERT_EQ(h.size(), 64u);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(h[i], expected[i], 1e-5 * expected[i] + 1e-9) << i;
  }
}

// The same sums from what the runtime shows an observer, itself tested against a textbook forward pass.
TEST(CollectSecondMoments, HasTheMomentsOfEveryLinear) {
  const ModelConfig config = TinyConfig("llama");
  runtime::NativeModel model(config, RandomWeights(config));
  const SecondMoments moments = CollectSecondMoments(model, kTexts);
  std::vector<double> down(128);
  model.ObserveLinearInputs(
      [&](int layer, runtime::LinearInput input, const float* rows, std::size_t count, std::size_t width) {
        if (layer == 1 && input == runtime::LinearInput::kDown)
          for (std::size_t i = 0; i < count * width; ++i) down[i % width] += double{rows[i]} * rows[i] / 12;
      });
  for (const std::vector<int>& text : kTexts) model.Logits(text);
  for (std::size_t i = 0; i < 128; ++i)
    EXPECT_NEAR(moments.at("model.layers.1.mlp.down_proj.weight")[i], down[i], 1e-6 * down[i] + 1e-12);
  std::size_t linears = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (spec.role != model::TensorRole::kAttentionLinear && spec.role != model::TensorRole::kMlpLinear)
      continue;
    ++linears;
    ASSERT_TRUE(moments.contains(spec.name)) << spec.name;
    EXPECT_EQ(moments.at(spec.name).size(), static_cast<std::size_t>(spec.shape[1])) << spec.name;
  }
  EXPECT_EQ(moments.size(), linears);
}

TEST(CollectSecondMoments, LeavesNoObserverBehindAlsoWhenATextIsBad) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = RandomWeights(config);
  runtime::NativeModel model(config, weights);
  EXPECT_THROW(CollectSecondMoments(model, std::vector<std::vector<int>>{{1, 2}, {99}}), Error);
  EXPECT_THROW(CollectSecondMoments(model, {}), Error);
  model.Logits(kTexts[0]);  // a left-over observer would write to sums that are gone (asan)
  EXPECT_EQ(CollectSecondMoments(model, kTexts), CollectSecondMoments(model, kTexts));
}

TEST(CollectSecondMoments, StopsWhenAsked) {
  const ModelConfig config = TinyConfig();
  runtime::NativeModel model(config, RandomWeights(config));
  StopToken stop;
  stop.RequestStop();
  try {
    CollectSecondMoments(model, kTexts, &stop);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
  }
}

// Mean 3: a quarter of it is 0.75.
TEST(RaiseSmallMoments, RaisesThemToAShareOfTheMean) {
  SecondMoments moments{{"a", {0, 1, 8}}};
  RaiseSmallMoments(moments, 0.25);
  EXPECT_THAT(moments.at("a"), ElementsAre(0.75f, 1, 8));
}

}  // namespace
}  // namespace forge::compress
