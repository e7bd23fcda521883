// SPDX-License-Identifier: Apache-2.0
#include "compress/layerwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::compress {
namespace {

using model::testing::RandomWeights;
using model::testing::TinyConfig;

std::vector<std::vector<int>> Texts(std::size_t count, std::uint64_t seed) {
  Random random(seed, "compress/testing/texts");
  std::vector<std::vector<int>> texts(count);
  for (std::vector<int>& text : texts)
    for (int i = 0; i < 40; ++i) text.push_back(static_cast<int>(random.Below(40)));
  return texts;
}

class LayerwiseTest : public ::testing::Test {
 protected:
  model::ModelConfig config_ = TinyConfig();
  model::ModelWeights weights_ = RandomWeights(config_);
  std::vector<std::vector<int>> texts_ = Texts(12, 1), held_out_ = Texts(3, 2);
  model::ModelWeights quantised_ = weights_;
  std::vector<LinearReport> reports_;
  NullMetricSink sink_;
  StopToken stop_;

  void Run(const LayerwiseOptions& options) {
    quantised_ = weights_;
    reports_.clear();
    QuantiseLayerwise(
        *model::WeightsInMemory(config_, weights_), weights_.at("model.embed_tokens.weight"), texts_,
        held_out_, options,
        [&](const model::TensorSpec& spec, const QuantisedLinear& linear, const LinearReport& report) {
          quantised_.at(spec.name).values = linear.values;
          reports_.push_back(report);
        },
        sink_, stop_);
  }
  static LayerwiseOptions::Choice Ternary(const model::TensorSpec&) {
    return {&FindQuantiser("weighted"), 64};
  }
};

TEST_F(LayerwiseTest, InputsAreThoseOfTheLinearsThatAreQuantisedAlready) {
  Run({.choose = Ternary, .with_feedback = false});
  ASSERT_EQ(reports_.size(), 14u);
  // The second layer's gate: inputs of the model in which all before it is quantised.
  model::ModelWeights before = quantised_;
  for (const char* name : {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    const std::string full = std::string("model.layers.1.") + name + ".weight";
    before.at(full) = weights_.at(full);
  }
  runtime::NativeModel model(config_, before);
  const model::Tensor &w = weights_.at("model.layers.1.mlp.gate_proj.weight"),
                      &q = quantised_.at("model.layers.1.mlp.gate_proj.weight");
  double error = 0, power = 0;
  model.ObserveLinearInputs(
      [&](int layer, runtime::LinearInput input, const float* rows, std::size_t count, std::size_t width) {
        if (layer != 1 || input != runtime::LinearInput::kMlp) return;
        for (std::size_t r = 0; r < count; ++r)
          for (std::size_t o = 0; o < 128; ++o) {
            double y = 0, z = 0;
            for (std::size_t i = 0; i < width; ++i) {
              y += double{w.values[o * width + i]} * rows[r * width + i];
              z += double{q.values[o * width + i]} * rows[r * width + i];
            }
            error += (y - z) * (y - z);
            power += y * y;
          }
      });
  for (const std::vector<int>& text : held_out_) {
    const std::vector<std::vector<int>> one{text};
    model.LastHidden(one);
  }
  const auto report = std::find_if(reports_.begin(), reports_.end(), [](const LinearReport& r) {
    return r.name == "model.layers.1.mlp.gate_proj.weight";
  });
  EXPECT_NEAR(report->error, error / power, 1e-3 * report->error);
  EXPECT_EQ(report->error, report->nearest_error);
}

TEST_F(LayerwiseTest, KeepsFeedbackOnlyWhereHeldOutTextsGainByIt) {
  Run({.choose = Ternary});
  int kept = 0;
  for (const LinearReport& report : reports_) {
    EXPECT_LE(report.error, report.nearest_error) << report.name;
    EXPECT_EQ(report.kept_feedback, report.error < report.nearest_error) << report.name;
    kept += report.kept_feedback;
  }
  EXPECT_GT(kept, 4);
  // Fitted to three texts of other tokens, feedback knows nothing of the held-out ones.
  texts_ = {{1, 1, 1, 1}};
  Run({.choose = Ternary});
  int kept_now = 0;
  for (const LinearReport& report : reports_) kept_now += report.kept_feedback;
  EXPECT_LT(kept_now, kept);
}

TEST_F(LayerwiseTest, LeavesWhatIsNotChosenAndNamesWhatItUsed) {
  Run({.choose = [](const model::TensorSpec& spec) {
    return spec.layer == 0 ? LayerwiseOptions::Choice{} : LayerwiseOptions::Choice{&FindQuantiser("q4"), 32};
  }});
  EXPECT_EQ(reports_.size(), 7u);
  for (const auto& [name, tensor] : quantised_)
    if (name.find("layers.1") == std::string::npos || name.find("proj.weight") == std::string::npos)
      EXPECT_EQ(tensor.values, weights_.at(name).values) << name;
    else
      EXPECT_NE(tensor.values, weights_.at(name).values) << name;
  for (const LinearReport& report : reports_) EXPECT_EQ(report.quantiser, "q4");
}

TEST_F(LayerwiseTest, NeedsTextsOfBothKinds) {
  held_out_.clear();
  EXPECT_THROW(Run({.choose = Ternary}), Error);
  held_out_ = texts_;
  texts_.clear();
  EXPECT_THROW(Run({.choose = Ternary}), Error);
}

TEST_F(LayerwiseTest, StopsWhenAsked) {
  stop_.RequestStop();
  EXPECT_THROW(Run({.choose = Ternary}), Error);
}

}  // namespace
}  // namespace forge::compress
