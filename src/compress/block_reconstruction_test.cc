// SPDX-License-Identifier: Apache-2.0
#include "compress/block_reconstruction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "compress/divergence.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "compress/untrained.h"
#include "runtime/layer_pass.h"

namespace forge::compress {
namespace {

/// Asks to stop once so many layers are done.
class StoppingSink : public NullMetricSink {
 public:
  StoppingSink(StopToken& stop, std::int64_t stop_at) : stop_(stop), stop_at_(stop_at) {}
  void Progress(std::string_view stage, std::int64_t done, std::int64_t, std::string_view) override {
    if (stage == "compress" && done == stop_at_) stop_.RequestStop();
  }

 private:
  StopToken& stop_;
  std::int64_t stop_at_;
};

class BlockReconstructionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    FORGE_SKIP_WITHOUT_ENGINE();
    for (std::uint64_t i = 0; i < 40; ++i) texts_.push_back(testing::RandomText(config_, i, 24));
  }

  UntrainedOptions Options(int steps) const {
    return {.quantiser = &FindQuantiser("weighted"),
            .blocks = {.steps = steps, .learning_rate = 0.02, .tokens = 128},
            .kept = {}};
  }
  UntrainedResult Compress(const UntrainedOptions& options, std::int64_t stop_at = -1) {
    StopToken stop;
    StoppingSink sink(stop, stop_at);
    const auto texts = std::span(texts_);
    try {
      return CompressUntrained(*source_, texts.first(30), texts.subspan(30, 4), options, sink, stop);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
      return {};
    }
  }
  double DivergenceOf(const UntrainedResult& result) {
    runtime::NativeModel original(config_, weights_);
    runtime::NativeModel model(
        runtime::PackWeights(result.model.config, result.model.weights, {}, result.model.ternary));
    const StopToken never;
    return MeasureDivergence(original, model, std::span(texts_).last(6), never).mean;
  }
  static void ExpectEqual(const UntrainedResult& a, const UntrainedResult& b) {
    ASSERT_EQ(a.model.ternary.size(), 14u);
    for (const auto& [name, linear] : a.model.ternary) {
      EXPECT_EQ(linear.codes, b.model.ternary.at(name).codes) << name;
      EXPECT_EQ(linear.scales, b.model.ternary.at(name).scales) << name;
    }
  }

  model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights weights_ = testing::OpinionatedWeights(config_);
  std::unique_ptr<model::WeightSource> source_ = model::WeightsInMemory(config_, weights_);
  std::vector<std::vector<int>> texts_;
  testing::TestFolder folder_;
};

TEST_F(BlockReconstructionTest, BringsTheModelNearerToTheOriginal) {
  const UntrainedResult apart = Compress(Options(0)), trained = Compress(Options(200));
  EXPECT_LT(DivergenceOf(trained), 0.9 * DivergenceOf(apart));
  ASSERT_EQ(trained.linears.size(), 14u);
  for (const LinearReport& linear : trained.linears) {
    ASSERT_TRUE(linear.block);
    EXPECT_TRUE(linear.block->kept);
    EXPECT_LT(linear.block->after, linear.block->before);
  }
  EXPECT_EQ(trained.linears.back().block->layer, 1);
  for (const LinearReport& linear : apart.linears) EXPECT_FALSE(linear.block);
}

/// The stream [tokens, hidden_size] behind layer 0.
std::vector<float> Behind(const model::WeightSource& source, const TextRows& rows,
                          std::vector<float> states) {
  const model::ModelConfig& config = source.config();
  const runtime::PackedLayer packed =
      runtime::PackLayer(source, 0, {.linears = runtime::WeightType::kFloat32, .embeddings = {}});
  const runtime::LayerPass pass(config, packed, rows.longest());
  for (std::size_t text = 0; text < rows.texts(); ++text)
    pass.Run(rows.length(text), rows.At(states, text, 64));
  return states;
}

TEST_F(BlockReconstructionTest, ReportsTheRelativeErrorOfTheHeldOutStream) {
  const std::span<const std::vector<int>> all(texts_);
  const TextRows rows(all.first(30), all.subspan(30, 4));
  Random random(8, "compress/testing/streams");
  std::vector<float> embedded;
  for (std::size_t i = 0; i < rows.tokens() * 64; ++i)
    embedded.push_back(static_cast<float>(random.Normal()));
  std::vector<BlockLinear> linears;
  model::ModelWeights ternary = weights_;
  for (const model::TensorSpec& spec : model::ListTensors(config_)) {
    if (!IsLinear(spec) || spec.layer != 0) continue;
    const LinearToQuantise linear{weights_.at(spec.name).values, spec.shape[0], spec.shape[1], {}};
    linears.push_back({spec.name, QuantiseNearest(linear, FindQuantiser("optimum"), 64)});
    ternary.at(spec.name).values = linears.back().quantised.values;
  }
  const auto error_of = [&](const std::vector<float>& states, const std::vector<float>& wanted) {
    double sum = 0;
    for (std::size_t t = rows.start(30); t < rows.tokens(); ++t) {
      double difference = 0, power = 0;
      for (std::size_t i = t * 64; i < (t + 1) * 64; ++i) {
        difference += std::pow(double{wanted[i]} - double{states[i]}, 2);
        power += std::pow(double{wanted[i]}, 2);
      }
      sum += difference / power;
    }
    return sum / static_cast<double>(rows.tokens() - rows.start(30));
  };
  const std::vector<float> wanted = Behind(*source_, rows, embedded);
  std::vector<float> states = Behind(*model::WeightsInMemory(config_, ternary), rows, embedded);
  const double before = error_of(states, wanted);

  const BlockSettings settings{.steps = 30, .tokens = 64};
  const StopToken never;
  BlockReconstruction blocks(*source_, rows, embedded, settings, never);
  blocks.Begin(0, embedded);
  const BlockReport report = blocks.End(linears, states);
  EXPECT_NEAR(report.before, before, 1e-5 * before);
  EXPECT_TRUE(report.kept);
  EXPECT_NEAR(report.after, error_of(states, wanted), 1e-5 * before);
  // What comes back goes together.
  for (const BlockLinear& linear : linears) ternary.at(linear.name).values = linear.quantised.values;
  EXPECT_EQ(Behind(*model::WeightsInMemory(config_, ternary), rows, embedded), states);
}

TEST_F(BlockReconstructionTest, IsNotKeptWhereHeldOutTextsLose) {
  UntrainedOptions wild = Options(5);
  wild.blocks.learning_rate = 5;
  const UntrainedResult result = Compress(wild);
  for (const LinearReport& linear : result.linears) EXPECT_FALSE(linear.block->kept);
  ExpectEqual(result, Compress(Options(0)));
}

TEST_F(BlockReconstructionTest, GoesOnAfterAStopToTheSameBits) {
  const UntrainedResult whole = Compress(Options(20));
  UntrainedOptions options = Options(20);
  options.kept = folder_.path() / "kept";
  Compress(options, 1);  // of two layers
  const UntrainedResult resumed = Compress(options);
  ExpectEqual(resumed, whole);
  EXPECT_EQ(resumed.linears.front().block->after, whole.linears.front().block->after);
  // A layer that is not whole is made anew as a whole.
  std::filesystem::remove(options.kept / "strict-1" / "model.layers.1.mlp.up_proj.weight.kept");
  ExpectEqual(Compress(options), whole);
  // Other settings are another compression.
  options.blocks.steps = 0;
  ExpectEqual(Compress(options), Compress(Options(0)));
}

}  // namespace
}  // namespace forge::compress
