// SPDX-License-Identifier: Apache-2.0
#include "compress/sensitivity.h"

#include <gtest/gtest.h>

#include "compress/divergence.h"
#include "compress/ternary_training.h"
#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

TEST(MeasureSensitivity, IsTheDivergenceOfTheModelInWhichOneUnitIsReplaced) {
  const model::ModelConfig config = model::testing::TinyConfig();
  model::ModelWeights weights = model::testing::RandomWeights(config);
  for (float& value : weights.at("model.norm.weight").values) value *= 20;
  // Texts of one token: the one position that is looked at.
  const std::vector<std::vector<int>> texts{{3}, {17}, {9}, {22}, {31}, {5}, {12}, {38}};
  const auto replaced = [&](const std::string& name) {
    std::vector<float> values = weights.at(name).values;
    for (float& value : values) value *= -0.5f;
    return values;
  };
  NullMetricSink sink;
  const std::vector<double> measured =
      MeasureSensitivity(*model::WeightsInMemory(config, weights), replaced, {texts.data(), 1}, sink, {});
  const std::vector<std::vector<std::string>> units = FusedLinears(config);
  ASSERT_EQ(measured.size(), units.size());
  runtime::NativeModel original(config, weights);
  for (std::size_t u = 0; u < units.size(); ++u) {
    model::ModelWeights changed = weights;
    for (const std::string& name : units[u]) changed.at(name).values = replaced(name);
    runtime::NativeModel model(config, changed);
    const double expected = MeasureDivergence(original, model, {texts.data(), 1}, {}).mean;
    EXPECT_NEAR(measured[u], expected, 1e-5 * (1 + expected)) << units[u].front();
    EXPECT_GT(measured[u], u % 4 >= 1 ? 1e-6 : -1e-9)
        << units[u].front();  // of one token, q and k change nothing
  }
}

TEST(MeasureTableSensitivity, IsTheDivergenceOfTheModelWithThatTableRounded) {
  for (const bool is_tied : {true, false}) {
    model::ModelConfig config = model::testing::TinyConfig();
    config.tie_word_embeddings = is_tied;
    model::ModelWeights weights = model::testing::RandomWeights(config);
    for (float& value : weights.at("model.norm.weight").values) value *= 20;
    const std::vector<std::vector<int>> texts{{3}};  // one token: the one position that is looked at
    const std::vector<io::BlockType> types{io::BlockType::kQ4_0, io::BlockType::kQ5_1, io::BlockType::kQ8_0};
    NullMetricSink sink;
    const std::map<std::string, std::vector<double>> measured =
        MeasureTableSensitivity(*model::WeightsInMemory(config, weights), types, texts, sink, {});
    ASSERT_EQ(measured.size(), is_tied ? 1u : 2u);
    runtime::NativeModel original(config, weights);
    for (const auto& [name, divergences] : measured)
      for (std::size_t i = 0; i < types.size(); ++i) {
        model::ModelWeights changed = weights;
        RoundTable(changed.at(name).values, config.hidden_size, types[i]);
        runtime::NativeModel model(config, changed);
        const double expected = MeasureDivergence(original, model, texts, {}).mean;
        EXPECT_NEAR(divergences[i], expected, 1e-6 + 1e-3 * expected) << name << ' ' << i;
        EXPECT_GT(divergences[i], 0) << name << ' ' << i;
      }
    EXPECT_GT(measured.begin()->second[0], 4 * measured.begin()->second[2]);
  }
}

}  // namespace
}  // namespace forge::compress
