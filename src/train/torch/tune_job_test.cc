// SPDX-License-Identifier: Apache-2.0
#include "train/tune_job.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "train/torch/testing_tune_pass.h"
#include "train/torch/torch_engine.h"

namespace forge::train {
namespace {

namespace fs = std::filesystem;
using namespace testing;

void ExpectNear(const at::Tensor& a, const at::Tensor& b, const std::string& name) {
  const double largest = b.abs().max().item<double>();
  EXPECT_LT((a - b).abs().max().item<double>(), 2e-5 * largest + 1e-7) << name;
}

TEST(TunePass, GivesTheLossAndGradientsOfAutogradWithDocumentsPackedOrApart) {
  for (const bool tied : {true, false}) {
    const ModelConfig config = SmallConfig(tied);
    ModelWeights weights = RandomWeights(config);
    ParameterMap parameters = ToParameters(weights, kCpu);
    for (auto& [name, parameter] : parameters) parameter.requires_grad_(true);
    const TensorModel twin(config, parameters);
    const at::Tensor loss = WeightedLoss(twin, nullptr, Apart(), kCpu) / TotalWeight(Apart());
    for (const TokenBatch& batch : {Apart(), Packed()})
      for (const bool recompute : {false, true}) {
        TuneJob job{.config = config, .weights = &weights, .recompute_activations = recompute};
        const Pass pass = RunPass(job, batch);
        EXPECT_NEAR(pass.loss, loss.item<double>(), 1e-6);
        for (std::size_t i = 0; i < pass.groups.size(); ++i) {
          const std::string& name = pass.groups[i].name;
          const at::Tensor expected = torch::autograd::grad({loss}, {parameters.at(name)}, {}, true)[0];
          ExpectNear(pass.gradients[i], expected, name);
        }
      }
  }
}

TEST(TunePass, GivesTheLossAndGradientsOfAutogradWithATeacher) {
  for (const bool tied : {true, false}) {
    const ModelConfig config = SmallConfig(tied);
    ModelWeights weights = RandomWeights(config);
    const ModelWeights teacher = RandomWeights(config, 2);
    ParameterMap parameters = ToParameters(weights, kCpu);
    for (auto& [name, parameter] : parameters) parameter.requires_grad_(true);
    const ParameterMap teacher_parameters = ToParameters(teacher, kCpu);
    const TensorModel twin(config, parameters), teacher_twin(config, teacher_parameters);
    for (const bool is_taught_alone : {false, true}) {
      const auto alone = [&](TokenBatch batch) {
        if (is_taught_alone) batch.token_weights.clear();
        return batch;
      };
      const TokenBatch apart = alone(ApartTaught());
      const at::Tensor loss = WeightedLoss(twin, &teacher_twin, apart, kCpu) / TotalWeight(apart);
      for (const TokenBatch& batch : {apart, alone(PackedTaught())}) {
        TuneJob job{.config = config, .weights = &weights, .teacher = &teacher};
        const Pass pass = RunPass(job, batch);
        EXPECT_NEAR(pass.loss, loss.item<double>(), 1e-6);
        for (std::size_t i = 0; i < pass.groups.size(); ++i) {
          const std::string& name = pass.groups[i].name;
          const at::Tensor expected = torch::autograd::grad({loss}, {parameters.at(name)}, {}, true)[0];
          ExpectNear(pass.gradients[i], expected, name);
        }
      }
    }
  }
}

TEST(TunePass, GivesTheSameBitsWhenActivationsAreComputedAgain) {
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
    TuneJob job{.config = config, .weights = &weights, .precision = precision};
    const Pass kept = RunPass(job, Packed());
    job.recompute_activations = true;
    const Pass again = RunPass(job, Packed());
    EXPECT_EQ(kept.loss, again.loss);
    for (std::size_t i = 0; i < kept.groups.size(); ++i)
      EXPECT_TRUE(at::equal(kept.gradients[i], again.gradients[i])) << kept.groups[i].name;
  }
}

// bfloat16 has 8 bits: each product is off by about 2^-9 of itself at random, and some tens of them follow
// each other.
TEST(TunePass, GivesNearlyTheSameGradientsInBFloat16) {
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config);
  TuneJob job{.config = config, .weights = &weights};
  const Pass exact = RunPass(job, Packed());
  job.precision = Precision::kBFloat16;
  const Pass rough = RunPass(job, Packed());
  EXPECT_NEAR(rough.loss, exact.loss, 0.01 * exact.loss);
  EXPECT_NE(rough.loss, exact.loss);
  for (std::size_t i = 0; i < exact.groups.size(); ++i) {
    const at::Tensor &a = rough.gradients[i].flatten(), &b = exact.gradients[i].flatten();
    if (b.norm().item<double>() < 1e-4) continue;  // biases of keys: their gradient is zero but for rounding
    EXPECT_GT((at::dot(a, b) / (a.norm() * b.norm())).item<double>(), 0.99) << exact.groups[i].name;
  }
}

LoraSettings AllLinears(int rank) {
  return {.rank = rank,
          .alpha = 2.0 * rank,
          .targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
}

// Central differences as in engine_test.cc, at A and B away from zero.
TEST(TunePass, GradientsOfLoraFactorsEqualFiniteDifferences) {
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config);
  TuneJob job{.config = config, .weights = &weights};
  job.lora = AllLinears(3);
  TunedWeights tuned(job, kCpu);
  std::vector<AdamW::Group> groups = tuned.Groups();
  ASSERT_EQ(groups.size(), 2u * 7u * 2u);
  for (AdamW::Group& group : groups) {
    Random random(5, group.name);
    for (std::int64_t i = 0; i < group.parameter.numel(); ++i)
      group.parameter.mutable_data_ptr<float>()[i] += static_cast<float>(0.1 * random.Normal());
  }
  const TokenBatch batch = Packed();
  GradientSum sum(groups.size());
  const auto loss = [&] {
    tuned.Refresh(0);
    sum.Clear();
    return RunTunePass(config, tuned, nullptr, batch, {.total_weight = TotalWeight(batch)}, {&sum, 0}).loss;
  };
  loss();
  std::vector<at::Tensor> gradients = sum.sums();
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::int64_t index = gradients[i].abs().argmax().item<std::int64_t>();
    float* value = groups[i].parameter.mutable_data_ptr<float>() + index;
    const float kept = *value;
    *value = kept + 0.01f;
    const double above = loss();
    *value = kept - 0.01f;
    const double below = loss();
    *value = kept;
    const double numeric = (above - below) / 0.02;
    EXPECT_NEAR(gradients[i].flatten()[index].item<double>(), numeric, 1e-3 + 0.02 * std::abs(numeric))
        << groups[i].name;
  }
}

TuneJob OverfitJob(const ModelConfig& config, ModelWeights& weights, int steps,
                   const JobEnvironment& environment) {
  TuneJob job{.config = config, .weights = &weights, .steps = steps, .environment = &environment};
  job.micro_batches = 3;
  job.batch = [](int, int micro) {
    TokenBatch batch = micro == 0 ? Packed() : Apart();
    for (float& weight : batch.token_weights) weight *= static_cast<float>(micro + 1);
    return batch;
  };
  job.optimizer = {.learning_rate = 1e-2, .warmup_steps = 5};
  return job;
}

TEST(Tune, TrainsTheWeightsInPlaceOrTheAdapterAlone) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  ModelWeights start = RandomWeights(config);
  // Logits of a size that an adapter can learn by heart with, although norm and head are frozen.
  for (float& value : start["model.norm.weight"].values) value = 4;
  const JobEnvironment environment;
  ModelWeights weights = start;
  EXPECT_LT(engine.Tune(OverfitJob(config, weights, 200, environment)).losses.back(), 0.05);
  EXPECT_FALSE(weights == start);

  weights = start;
  TuneJob job = OverfitJob(config, weights, 300, environment);
  job.lora = AllLinears(4);
  const TuneResult result = engine.Tune(job);
  EXPECT_LT(result.losses.back(), 0.2 * result.losses.front());
  EXPECT_TRUE(weights == start);
  // The adapter, added to the base, is the model that was trained.
  model::AddLora(result.adapter, 1, weights, "the adapter");
  TuneJob merged{.config = config, .weights = &weights};
  EXPECT_LT(RunPass(merged, Packed()).loss, 2 * result.losses.back() + 0.01);
}

TEST(Tune, ResumesToTheSameBytesAsAnUnbrokenRun) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights start = RandomWeights(config);
  for (const int rank : {0, 2}) {
    ModelWeights unbroken = start, broken = start;
    JobEnvironment environment;
    TuneJob job = OverfitJob(config, unbroken, 30, environment);
    job.lora = AllLinears(rank);
    const TuneResult whole = engine.Tune(job);
    StopToken stop, fresh;
    environment.checkpoint = fs::path(::testing::TempDir()) / "tune.safetensors";
    fs::remove(environment.checkpoint);
    environment.checkpoint_interval = 7;
    environment.stop = &stop;
    job.weights = &broken;
    const auto batch = job.batch;
    job.batch = [&](int step, int micro) {
      if (step == 17) stop.RequestStop();
      return batch(step, micro);
    };
    EXPECT_THROW(engine.Tune(job), Error);
    environment.stop = &fresh;
    broken = start;
    const TuneResult rest = engine.Tune(job);
    EXPECT_EQ(rest.losses.size(), 12u);
    EXPECT_TRUE(broken == unbroken);
    for (const auto& [name, factors] : whole.adapter.factors)
      EXPECT_TRUE(rest.adapter.factors.at(name).b == factors.b) << name;
  }
}

// With lambda 1 and a quantizer to signs, the forward pass is that of the sign model, and the gradient still
// reaches the latent weights (the original's does not: original-agent-forge.md 3.1).
TEST(Tune, TrainsTheLatentWeightsOfAQuantizedModel) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights start = RandomWeights(config);
  const auto quantize = [](const std::string&, const float* w, std::int64_t out, std::int64_t in, float* q) {
    for (std::int64_t i = 0; i < out * in; ++i) q[i] = w[i] > 0 ? 0.1f : -0.1f;
  };
  ModelWeights quantized = start;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (model::IsLinear(spec))
      quantize(spec.name, start.at(spec.name).values.data(), spec.shape[0], spec.shape[1],
               quantized[spec.name].values.data());
  const JobEnvironment environment;
  ModelWeights weights = start;
  TuneJob job = OverfitJob(config, weights, 200, environment);
  job.straight_through = {quantize, [](int) { return 1.0; }};
  const std::vector<double> losses = engine.Tune(job).losses;
  ModelWeights plain = quantized;
  EXPECT_EQ(losses.front(), engine.Tune(OverfitJob(config, plain, 1, environment)).losses.front());
  EXPECT_LT(losses.back(), 0.3 * losses.front());
  EXPECT_NE(weights.at("model.layers.0.mlp.up_proj.weight"), start.at("model.layers.0.mlp.up_proj.weight"));

  job.straight_through.lambda = [](int) { return 0.0; };
  job.steps = 20;
  weights = start;
  engine.Tune(job);
  plain = start;
  engine.Tune(OverfitJob(config, plain, 20, environment));
  EXPECT_TRUE(weights == plain);
}

// The largest magnitude is 127: steps of 1. Halves go to the even side. A row of zeros stays.
TEST(RoundToInt8, RoundsEachRowByItsLargest) {
  const at::Tensor x =
      at::tensor({127.0f, -63.4f, 2.5f, 0.6f, 0.0f, 0.0f, 0.0f, 0.0f, 2.54f, -1.28f, 0.011f, 0.009f})
          .view({3, 4});
  const at::Tensor expected =
      at::tensor({127.0f, -63.0f, 2.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 2.54f, -1.28f, 0.02f, 0.0f})
          .view({3, 4});
  EXPECT_TRUE(at::allclose(RoundToInt8(x), expected, 1e-6, 1e-6));
}

TEST(Tune, RoundsInputsToEightBitsAsFarAsTheWeightsAreTernary) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights start = RandomWeights(config);
  const JobEnvironment environment;
  const auto train = [&](double lambda, bool int8, int steps) {
    ModelWeights weights = start;
    TuneJob job = OverfitJob(config, weights, steps, environment);
    job.straight_through.quantize = [](const std::string&, const float* w, std::int64_t out, std::int64_t in,
                                       float* q) { std::copy(w, w + out * in, q); };
    job.straight_through.lambda = [=](int) { return lambda; };
    job.straight_through.int8_activations = int8;
    return engine.Tune(job).losses;
  };
  EXPECT_EQ(train(0, true, 5), train(0, false, 5));
  const double exact = train(1, false, 1).front(), rounded = train(1, true, 1).front(),
               half = train(0.5, true, 1).front();
  EXPECT_NE(rounded, exact);
  EXPECT_NEAR(rounded, exact, 0.01 * exact);
  EXPECT_LT(std::fabs(half - exact), std::fabs(rounded - exact) + 1e-3 * exact);
  const std::vector<double> losses = train(1, true, 200);
  EXPECT_LT(losses.back(), 0.3 * losses.front());
}

// Heads divided by T give at temperature 1 what the heads themselves give at T, but for the factor T^2. Gold
// tokens have no temperature.
TEST(Tune, HalfwayBetweenWeightsAndTheirQuantizedValuesIsTheModelOfTheirMean) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config), mean = weights;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (model::IsLinear(spec))
      for (float& value : mean[spec.name].values) value *= 0.75f;
  const JobEnvironment environment;
  TuneJob job = OverfitJob(config, weights, 1, environment);
  job.straight_through.quantize = [](const std::string&, const float* w, std::int64_t out, std::int64_t in,
                                     float* q) {
    std::transform(w, w + out * in, q, [](float x) { return x / 2; });
  };
  job.straight_through.lambda = [](int) { return 0.5; };
  EXPECT_NEAR(engine.Tune(job).losses.front(),
              engine.Tune(OverfitJob(config, mean, 1, environment)).losses.front(), 1e-6);
}

TEST(Tune, LeavesWhatIsNotTrainableAsItIs) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  const ModelWeights start = RandomWeights(config);
  ModelWeights weights = start;
  const JobEnvironment environment;
  TuneJob job = OverfitJob(config, weights, 3, environment);
  job.trainable = [](const model::TensorSpec& spec) { return model::IsLinear(spec); };
  engine.Tune(job);
  for (const model::TensorSpec& spec : model::ListTensors(config))
    EXPECT_EQ(weights.at(spec.name) == start.at(spec.name), !model::IsLinear(spec)) << spec.name;
}

TEST(Tune, TakesAMicroBatchInWhichNothingIsLearned) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config), expected = weights;
  const JobEnvironment environment;
  TuneJob job = OverfitJob(config, weights, 2, environment);
  job.batch = [](int, int micro) {
    TokenBatch batch = Packed();
    if (micro != 1) std::fill(batch.token_weights.begin(), batch.token_weights.end(), 0.0f);
    return batch;
  };
  engine.Tune(job);
  job.weights = &expected;
  job.micro_batches = 1;
  job.batch = [](int, int) { return Packed(); };
  engine.Tune(job);
  EXPECT_TRUE(weights == expected);
}

/// Bytes of this process in memory.
std::size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Logits of ever new sizes once made the heap of a training on real texts grow by 20 MB a step.
TEST(Tune, NeedsNoMoreMemoryTheMoreStepsItTakes) {
  TorchEngine engine;
  ModelConfig config = SmallConfig();
  config.vocab_size = 20'000;
  ModelWeights weights = RandomWeights(config);
  const ModelWeights teacher = weights;
  const JobEnvironment environment;
  TuneJob job{.config = config, .weights = &weights, .teacher = &teacher, .environment = &environment};
  std::size_t early = 0;
  job.steps = 60;
  job.trainable = model::IsLinear;
  job.batch = [&](int step, int micro) {
    if (step == 20 && micro == 0) early = ResidentBytes();
    TokenBatch batch{.rows = 1, .length = 400};
    Random random(3, "texts", static_cast<std::uint64_t>(step * 2 + micro));
    const int learned = 200 + static_cast<int>(random.Below(190));
    for (int t = 0; t < batch.length; ++t) {
      batch.tokens.push_back(static_cast<int>(random.Below(20'000)));
      batch.teacher_weights.push_back(t > 0 && t <= learned ? 1.0f : 0.0f);
    }
    return batch;
  };
  engine.Tune(job);
  EXPECT_LT(ResidentBytes(), early + (48 << 20));
}

TEST(Tune, PassesOnTheErrorOfOneOfManyMicroBatches) {
  TorchEngine engine;
  const ModelConfig config = SmallConfig();
  ModelWeights weights = RandomWeights(config);
  const JobEnvironment environment;
  TuneJob job = OverfitJob(config, weights, 2, environment);
  job.micro_batches = 5;
  const auto batch = job.batch;
  job.batch = [&](int step, int micro) {
    TokenBatch wrong = batch(step, micro);
    if (micro == 1) wrong.tokens[0] = 100'000;  // beyond the vocabulary
    return wrong;
  };
  EXPECT_THROW(engine.Tune(job), std::exception);
}

}  // namespace
}  // namespace forge::train
