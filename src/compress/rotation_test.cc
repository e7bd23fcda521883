// SPDX-License-Identifier: Apache-2.0
#include "compress/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compress/testing_model.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

using model::ModelConfig;
using testing::RandomText;

TEST(RotateRow, IsTheHadamardMatrixWithSigns) {
  std::vector<std::vector<float>> rows;
  for (std::size_t i = 0; i < 12; ++i) {  // blocks of 4
    std::vector<float>& row = rows.emplace_back(12, 0.0f);
    row[i] = 1;
    RotateRow(row, 3);
    for (std::size_t k = 0; k < 12; ++k) EXPECT_EQ(std::fabs(row[k]), k / 4 == i / 4 ? 0.5f : 0.0f);
  }
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 0; j < 12; ++j) {
      float product = 0;
      for (std::size_t k = 0; k < 12; ++k) product += rows[i][k] * rows[j][k];
      EXPECT_EQ(product, i == j ? 1 : 0);
    }
  EXPECT_GT(std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row[0] < 0 || row[4] < 0; }),
            0);
}

struct Case {
  const char* rotation;
  bool is_tied;
};
class RotatedWeightsTest : public ::testing::TestWithParam<Case> {};

TEST_P(RotatedWeightsTest, ComputeTheSameFunction) {
  ModelConfig config = model::testing::TinyConfig();
  config.attention_bias = true;
  config.tie_word_embeddings = GetParam().is_tied;
  model::ModelWeights weights = testing::OpinionatedWeights(config);
  Random random(5, "gains");
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (model::IsVector(spec))
      for (float& value : weights.at(spec.name).values) value = static_cast<float>(0.5 + random.Uniform());
  const auto source = model::WeightsInMemory(config, weights);
  const auto rotated = RotatedWeights(*source, RotationOf(GetParam().rotation), 7);
  EXPECT_EQ(rotated->config().tie_word_embeddings,
            GetParam().is_tied && GetParam().rotation != std::string("full"));
  runtime::NativeModel before(config, weights), after(rotated->config(), rotated->ReadAll());
  for (std::uint64_t text = 0; text < 3; ++text) {
    const std::vector<float> p = before.Logits(RandomText(config, text)),
                             q = after.Logits(RandomText(config, text));
    float largest = 0;
    for (const float value : p) largest = std::max(largest, std::fabs(value));
    for (std::size_t i = 0; i < p.size(); ++i) ASSERT_NEAR(p[i], q[i], 1e-5f * largest + 1e-5f);
  }
  int changed = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    changed += rotated->Read(spec).values != weights.at(spec.name).values;
  const int layers = config.num_hidden_layers;
  const std::map<std::string, int> least{{"none", 0}, {"heads", 3 * layers}, {"full", 7 * layers + 1}};
  EXPECT_GE(changed, least.at(GetParam().rotation));
  if (GetParam().rotation != std::string("full")) {
    EXPECT_EQ(changed, least.at(GetParam().rotation));  // of v its bias too
  }
}

INSTANTIATE_TEST_SUITE_P(All, RotatedWeightsTest,
                         ::testing::Values(Case{"none", true}, Case{"heads", true}, Case{"full", true},
                                           Case{"full", false}),
                         [](const auto& instance) {
                           return std::string(instance.param.rotation) +
                                  (instance.param.is_tied ? "Tied" : "Untied");
                         });

TEST(RotatedWeights, SpreadsAnOutlierOverItsRow) {
  const ModelConfig config = model::testing::TinyConfig();
  model::ModelWeights weights = testing::OpinionatedWeights(config);
  const std::string name = "model.layers.0.mlp.gate_proj.weight";
  std::vector<float>& values = weights.at(name).values;
  values[10] = 50;
  const auto source = model::WeightsInMemory(config, weights);
  const auto rotated = RotatedWeights(*source, Rotation::kFull, 7);
  model::TensorSpec spec;
  for (const model::TensorSpec& each : model::ListTensors(config))
    if (each.name == name) spec = each;
  const std::vector<float> spread = rotated->Read(spec).values;
  float largest = 0;
  for (std::size_t i = 0; i < 64; ++i) largest = std::max(largest, std::fabs(spread[i]));
  EXPECT_LT(largest, 12);  // 50 / sqrt(64), and what was there
  // Pieces are those of the whole.
  std::vector<float> piece(3 * 64);
  rotated->ReadRows(spec, 2, piece);
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), spread.begin() + 2 * 64));
}

}  // namespace
}  // namespace forge::compress
