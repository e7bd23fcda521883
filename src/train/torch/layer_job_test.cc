// SPDX-License-Identifier: Apache-2.0
#include "train/layer_job.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "train/torch/decoder_layer.h"
#include "train/torch/testing_tune_pass.h"
#include "train/torch/torch_engine.h"

namespace forge::train {
namespace {

using namespace testing;

constexpr int kLength = 12, kSecond = 7;  // of two texts; the last two tokens have no weight

ModelConfig LayerConfig() {
  ModelConfig config = SmallConfig();
  config.num_hidden_layers = 1;
  return config;
}

/// Every linear as signs and zeros of its weights.
model::TernaryWeights Rounded(const ModelConfig& config, const ModelWeights& weights) {
  model::TernaryWeights ternary;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (!IsLinear(spec)) continue;
    model::TernaryTensor& linear = ternary[spec.name];
    linear = {.shape = spec.shape, .codes = {}, .scales = {}, .group = 8};
    const std::vector<float>& values = weights.at(spec.name).values;
    for (std::size_t i = 0; i < values.size(); i += 8) {
      float mean = 0;
      for (std::size_t k = i; k < i + 8; ++k) mean += std::fabs(values[k]) / 8;
      linear.scales.push_back(std::round(mean * 1024) / 1024);
      for (std::size_t k = i; k < i + 8; ++k)
        linear.codes.push_back(static_cast<std::int8_t>(std::fabs(values[k]) < mean / 2 ? 0
                                                        : values[k] < 0                 ? -1
                                                                                        : 1));
    }
  }
  return ternary;
}

class LayerJobTest : public ::testing::Test {
 protected:
  /// The layer's output with these weights.
  std::vector<float> Output(const ModelWeights& weights, const LayerBatch& batch) {
    const c10::NoGradGuard no_gradient;
    ModelWeights copy = weights;
    TuneJob job{.config = config_, .weights = &copy};
    const TunedWeights tuned(job, kCpu);
    const RowLayout layout = MakeRowLayout(config_, 1, kLength, batch.positions, kLength, at::kFloat, kCpu);
    DecoderLayer::Tape tape;
    const at::Tensor inputs =
        at::from_blob(const_cast<float*>(batch.inputs.data()), {kLength, config_.hidden_size}, at::kFloat);
    const at::Tensor output =
        DecoderLayer(config_, tuned, 0).Forward(inputs, layout, tape).detach().contiguous();
    return {output.const_data_ptr<float>(), output.const_data_ptr<float>() + output.numel()};
  }

  ModelWeights Dequantized(const model::TernaryWeights& ternary) const {
    ModelWeights weights = weights_;
    for (const auto& [name, linear] : ternary) weights.at(name) = model::Dequantize(linear);
    return weights;
  }

  LayerBatch Batch(int step, int micro, const ModelWeights& wanted) {
    LayerBatch batch{.rows = 1, .length = kLength};
    Random random(9, "train/testing/layer", static_cast<std::uint64_t>(step * 2 + micro));
    for (int t = 0; t < kLength; ++t) {
      batch.positions.push_back(t < kSecond ? t : t - kSecond);
      batch.weights.push_back(t < 10 ? 0.1f : 0.0f);
      for (int i = 0; i < config_.hidden_size; ++i)
        batch.inputs.push_back(static_cast<float>(random.Normal()));
    }
    batch.targets = Output(wanted, batch);
    for (int i = 0; i < config_.hidden_size; ++i) *(batch.targets.end() - 1 - i) = 1e6f;  // of no weight
    return batch;
  }

  LayerJob Job(const ModelWeights& wanted) {
    LayerJob job{.config = config_, .weights = &weights_, .ternary = &ternary_};
    job.batch = [this, &wanted](int step, int micro) { return Batch(step, micro, wanted); };
    job.optimizer.learning_rate = 0.02;
    job.optimizer.warmup_steps = 1;
    job.environment = &environment_;
    return job;
  }

  const ModelConfig config_ = LayerConfig();
  ModelWeights weights_ = [this] {
    ModelWeights weights = RandomWeights(config_);
    for (auto& [name, tensor] : weights)
      if (tensor.shape.size() == 1)
        for (float& value : tensor.values) value += 1;
    return weights;
  }();
  model::TernaryWeights ternary_ = Rounded(config_, weights_);
  JobEnvironment environment_;
};

/// What the job starts from: each weight at the nearest level of its group.
model::TernaryWeights Nearest(const ModelWeights& weights, model::TernaryWeights ternary) {
  for (auto& [name, linear] : ternary)
    for (std::size_t i = 0; i < linear.codes.size(); ++i) {
      const float scale = linear.scales[i / 8], weight = weights.at(name).values[i];
      linear.codes[i] = static_cast<std::int8_t>(std::fabs(weight) <= scale / 2 ? 0 : weight < 0 ? -1 : 1);
    }
  return ternary;
}

TEST_F(LayerJobTest, HardWithoutAStepOfTrainingItIsTheRoundedLayer) {
  const model::TernaryWeights before = Nearest(weights_, ternary_);
  const ModelWeights wanted = Dequantized(before);
  LayerJob job = Job(wanted);
  job.steps = 1;
  job.soft_share = 0;
  job.optimizer.learning_rate = 1e-9;
  EXPECT_LT(TorchEngine().TuneLayer(job).losses[0], 1e-9);
  for (const auto& [name, linear] : ternary_) {
    EXPECT_EQ(linear.codes, before.at(name).codes) << name;
    EXPECT_EQ(linear.scales, before.at(name).scales) << name;
  }
}

// The loss is what the definition says, on the targets of another layer.
TEST_F(LayerJobTest, TheLossIsTheWeightedSquaredError) {
  LayerJob job = Job(weights_);
  job.steps = 1;
  job.soft_share = 0;
  double expected = 0;
  for (const int micro : {0, 1}) {
    const LayerBatch batch = Batch(0, micro, weights_);
    const std::vector<float> output = Output(Dequantized(Nearest(weights_, ternary_)), batch);
    for (std::size_t i = 0; i < output.size(); ++i) {
      const double error = double{output[i]} - double{batch.targets[i]};
      expected += double{batch.weights[i / static_cast<std::size_t>(config_.hidden_size)]} * error * error;
    }
  }
  EXPECT_NEAR(TorchEngine().TuneLayer(job).losses[0], expected, 1e-4 * expected);
}

TEST_F(LayerJobTest, BringsTheTernaryLayerNearerToTheOriginal) {
  const auto error = [&] {
    double sum = 0;
    for (int micro = 1000; micro < 1010; ++micro) {
      const LayerBatch batch = Batch(0, micro, weights_);
      const std::vector<float> output = Output(Dequantized(ternary_), batch);
      for (std::size_t i = 0; i < output.size() / kLength * 10; ++i)
        sum += std::pow(double{output[i]} - double{batch.targets[i]}, 2);
    }
    return sum;
  };
  const double before = error();
  LayerJob job = Job(weights_);
  job.steps = 150;
  const std::vector<double> losses = TorchEngine().TuneLayer(job).losses;
  EXPECT_EQ(losses.size(), 150u);
  EXPECT_LT(error(), 0.7 * before) << before;
}

TEST_F(LayerJobTest, GivesTheSameBitsAgain) {
  std::vector<model::TernaryWeights> results;
  for (const Precision precision : {Precision::kFloat32, Precision::kFloat32, Precision::kBFloat16}) {
    ternary_ = Rounded(config_, weights_);
    LayerJob job = Job(weights_);
    job.steps = 20;
    job.precision = precision;
    TorchEngine().TuneLayer(job);
    results.push_back(ternary_);
  }
  bool differs = false;
  for (const auto& [name, linear] : results[0]) {
    EXPECT_EQ(linear.codes, results[1].at(name).codes);
    EXPECT_EQ(linear.scales, results[1].at(name).scales);
    differs |= linear.scales != results[2].at(name).scales;
  }
  EXPECT_TRUE(differs);  // bfloat16 is another computation
}

}  // namespace
}  // namespace forge::train
