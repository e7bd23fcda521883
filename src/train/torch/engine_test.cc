// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "model/testing_models.h"
#include "train/torch/token_loss.h"
#include "train/torch/torch_engine.h"

namespace forge::train {
namespace {

namespace fs = std::filesystem;
using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::TinyConfig;

const std::vector<int> kTokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};
const at::Device kCpu(at::kCPU);

ModelConfig SmallConfig() {
  ModelConfig config = TinyConfig();
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.head_dim = 8;
  return config;
}

/// Two rows with all three kinds of targets.
TokenBatch MixedBatch() {
  TokenBatch batch{.rows = 2, .length = 6, .tokens = {7, 1, 33, 12, 9, 0, 39, 5, 20, 21, 0, 0}};
  batch.token_weights = {0, 1, 1, 0.5f, 1, 1, 0, 1, 1, 1, 0, 0};
  batch.teacher_weights = {0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0};
  batch.soft_targets = {{1, 2, 0.7f, {{3, 0.25f}, {4, 0.75f}}}};
  return batch;
}

// Central differences in float32: the loss is O(1), so its rounding 1e-7 over 2 * 1e-2 gives 5e-6, and the
// third derivative term h^2 f'''/6 is of the size 1e-4 of a gradient of O(0.1): 2e-3 absolute holds both.
TEST(Engine, GradientsOfTheLossEqualFiniteDifferences) {
  const ModelConfig config = SmallConfig();
  ParameterMap parameters = ToParameters(RandomWeights(config), kCpu);
  const ParameterMap teacher_parameters = ToParameters(RandomWeights(config, 2), kCpu);
  const TensorModel model(config, parameters), teacher(config, teacher_parameters);
  const TokenBatch batch = MixedBatch();
  const double total = TotalWeight(batch);
  for (auto& [name, parameter] : parameters) {
    parameter.requires_grad_(true);
    const at::Tensor loss = WeightedLoss(model, &teacher, batch, kCpu) / total;
    const at::Tensor gradient = torch::autograd::grad({loss}, {parameter}, {}, std::nullopt, false, true)[0];
    parameter.requires_grad_(false);
    ASSERT_TRUE(gradient.defined()) << name;
    const std::int64_t largest = gradient.abs().argmax().item<std::int64_t>();
    for (const std::int64_t index : {largest, parameter.numel() / 2}) {
      float* value = parameter.mutable_data_ptr<float>() + index;
      const float kept = *value;
      const auto loss_at = [&](float x) {
        *value = x;
        const double result = (WeightedLoss(model, &teacher, batch, kCpu) / total).item<double>();
        *value = kept;
        return result;
      };
      const double numeric = (loss_at(kept + 0.01f) - loss_at(kept - 0.01f)) / 0.02;
      EXPECT_NEAR(gradient.flatten()[index].item<double>(), numeric, 2e-3 + 0.02 * std::abs(numeric))
          << name << " " << index;
    }
  }
}

TEST(Engine, TheLossIsTheWeightedMeanOfTheTermsByHand) {
  const ModelConfig config = SmallConfig();
  const ModelWeights weights = RandomWeights(config);
  const ParameterMap parameters = ToParameters(weights, kCpu);
  const TensorModel model(config, parameters);
  TokenBatch batch = MixedBatch();
  batch.teacher_weights.clear();
  const double loss = WeightedLoss(model, nullptr, batch, kCpu).item<double>();
  TorchEngine engine;
  double expected = 0;
  for (int row = 0; row < 2; ++row) {
    const std::vector<int> tokens(batch.tokens.begin() + row * 6, batch.tokens.begin() + row * 6 + 6);
    const std::vector<float> logits = engine.Logits(config, weights, tokens, "cpu");
    const auto log_prob = [&](int position, int token) {
      const float* at = logits.data() + (position - 1) * config.vocab_size;
      double sum = 0;
      for (int v = 0; v < config.vocab_size; ++v) sum += std::exp(static_cast<double>(at[v]));
      return static_cast<double>(at[token]) - std::log(sum);
    };
    for (int t = 1; t < 6; ++t)
      expected -= static_cast<double>(batch.token_weights[static_cast<std::size_t>(row * 6 + t)]) *
                  log_prob(t, tokens[static_cast<std::size_t>(t)]);
    if (row == 1)
      expected += 0.7 * (0.25 * (std::log(0.25) - log_prob(2, 3)) + 0.75 * (std::log(0.75) - log_prob(2, 4)));
  }
  EXPECT_NEAR(loss, expected, 1e-5 * std::abs(expected));
}

TrainJob OverfitJob(const ModelConfig& config, const ModelWeights& weights, int steps) {
  TrainJob job{.config = config, .initial = &weights, .steps = steps};
  job.batch = [](int, int micro) {
    TokenBatch batch = MixedBatch();
    batch.teacher_weights.clear();
    batch.soft_targets.clear();
    if (micro == 1)
      std::swap_ranges(batch.tokens.begin(), batch.tokens.begin() + 6, batch.tokens.begin() + 6);
    if (micro == 1)
      std::swap_ranges(batch.token_weights.begin(), batch.token_weights.begin() + 6,
                       batch.token_weights.begin() + 6);
    return batch;
  };
  job.optimizer = {.learning_rate = 1e-2, .warmup_steps = 5};
  return job;
}

TEST(Engine, OverfitsOneBatch) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights weights = RandomWeights(config);
  const TrainResult result = engine.Train(OverfitJob(config, weights, 300));
  EXPECT_GT(result.losses.front(), 2.0);
  EXPECT_LT(result.losses.back(), 0.02);
}

TEST(Engine, ResumesToTheSameBytesAsAnUnbrokenRun) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights weights = RandomWeights(config);
  const ModelWeights unbroken = engine.Train(OverfitJob(config, weights, 30)).weights;
  const fs::path checkpoint = fs::path(testing::TempDir()) / "resume.safetensors";
  fs::remove(checkpoint);
  StopToken stop;
  TrainJob job = OverfitJob(config, weights, 30);
  job.environment.checkpoint = checkpoint;
  job.environment.checkpoint_interval = 7;
  job.environment.stop = &stop;
  const auto batch = job.batch;
  job.batch = [&](int step, int micro) {
    if (step == 17) stop.RequestStop();
    return batch(step, micro);
  };
  EXPECT_THROW(engine.Train(job), Error);
  StopToken fresh;
  job.environment.stop = &fresh;
  job.batch = batch;
  const TrainResult resumed = engine.Train(job);
  EXPECT_EQ(resumed.losses.size(), 12u);
  EXPECT_TRUE(resumed.weights == unbroken);
}

TEST(Engine, KeepsFrozenTensorsAndRefusesALossThatIsNotFinite) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config);
  TrainJob job = OverfitJob(config, weights, 3);
  job.trainable = [](const model::TensorSpec& spec) { return spec.role == model::TensorRole::kMlpLinear; };
  const ModelWeights trained = engine.Train(job).weights;
  EXPECT_EQ(trained.at("model.norm.weight"), weights.at("model.norm.weight"));
  EXPECT_NE(trained.at("model.layers.0.mlp.up_proj.weight"), weights.at("model.layers.0.mlp.up_proj.weight"));
  weights["model.norm.weight"].values[0] = NAN;
  EXPECT_THROW(engine.Train(OverfitJob(config, weights, 3)), Error);
}

TEST(Engine, RefusesCudaWhereThereIsNone) {
  TorchEngine engine;
  if (!engine.CudaDevices().empty()) GTEST_SKIP() << "this machine has a CUDA device";
  const ModelConfig config = SmallConfig();
  const ModelWeights weights = RandomWeights(config);
  EXPECT_THROW(engine.Logits(config, weights, kTokens, "cuda"), Error);
}

}  // namespace
}  // namespace forge::train
