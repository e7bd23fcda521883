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
#include "model/testing_models.h"
#include "train/torch/token_loss.h"
#include "train/torch/torch_engine.h"
#include "train/torch/tune_pass.h"

namespace forge::train {
namespace {

namespace fs = std::filesystem;
using model::ModelConfig;
using model::ModelWeights;
using model::testing::RandomWeights;
using model::testing::TinyConfig;

const at::Device kCpu(at::kCPU);

ModelConfig SmallConfig(bool tied = true) {
  ModelConfig config = TinyConfig();
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.head_dim = 8;
  config.tie_word_embeddings = tied;
  return config;
}

/// Documents of 5, 3 and 4 tokens, of which the first tokens of the second are a prompt.
const std::vector<std::vector<int>> kDocuments{{7, 1, 33, 12, 9}, {0, 39, 5}, {20, 21, 1, 2}};
const std::vector<std::vector<float>> kWeights{{0, 1, 1, 0.5f, 1}, {0, 0, 1}, {0, 1, 2, 1}};
const std::vector<std::vector<float>> kTeacherWeights{{0, 1, 0, 0.5f, 1}, {0, 2, 1}, {0, 0, 0, 0}};

/// Each in a row of its own.
TokenBatch Apart() {
  TokenBatch batch{.rows = 3, .length = 5};
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < 5; ++t) {
      const bool is_there = t < kDocuments[row].size();
      batch.tokens.push_back(is_there ? kDocuments[row][t] : 0);
      batch.token_weights.push_back(is_there ? kWeights[row][t] : 0);
    }
  return batch;
}

/// All in one row, with two tokens that nothing is learned from.
TokenBatch Packed() {
  TokenBatch batch{.rows = 1, .length = 14};
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < kDocuments[row].size(); ++t) {
      batch.tokens.push_back(kDocuments[row][t]);
      batch.token_weights.push_back(kWeights[row][t]);
      batch.positions.push_back(static_cast<int>(t));
    }
  for (int t = 0; t < 2; ++t) {
    batch.tokens.push_back(0);
    batch.token_weights.push_back(0);
    batch.positions.push_back(t);
  }
  return batch;
}

struct Pass {
  double loss = 0;
  std::vector<AdamW::Group> groups;
  std::vector<at::Tensor> gradients;
};

/// Both with a teacher too.
TokenBatch ApartTaught() {
  TokenBatch batch = Apart();
  for (std::size_t row = 0; row < kDocuments.size(); ++row)
    for (std::size_t t = 0; t < 5; ++t)
      batch.teacher_weights.push_back(t < kDocuments[row].size() ? kTeacherWeights[row][t] : 0);
  return batch;
}
TokenBatch PackedTaught() {
  TokenBatch batch = Packed();
  for (const std::vector<float>& weights : kTeacherWeights)
    batch.teacher_weights.insert(batch.teacher_weights.end(), weights.begin(), weights.end());
  batch.teacher_weights.resize(batch.tokens.size());
  return batch;
}

Pass RunPass(TuneJob& job, const TokenBatch& batch) {
  const TunedWeights weights(job, kCpu);
  std::optional<TunedWeights> teacher;
  if (job.teacher != nullptr) teacher = TunedWeights::Teacher(job, kCpu);
  Pass pass{.groups = weights.Groups()};
  GradientSum sum(pass.groups.size());
  TunePassResult result = RunTunePass(job.config, weights, teacher ? &*teacher : nullptr, batch,
                                      {.total_weight = TotalWeight(batch),
                                       .teacher_temperature = job.teacher_temperature,
                                       .recompute_activations = job.recompute_activations},
                                      {&sum, 0});
  pass.loss = result.loss;
  pass.gradients = sum.sums();
  if (const int index = weights.IndexOf("model.embed_tokens.weight"); index >= 0) {
    at::Tensor& table = pass.gradients[static_cast<std::size_t>(index)];
    if (!table.defined()) table = at::zeros_like(weights.Weight("model.embed_tokens.weight"));
    table.index_add_(0, result.tokens, result.embedding_gradient);
  }
  return pass;
}

// Sums of up to 64 float32 products of size 1 in another order, through 2 layers: a few hundred roundings of
// 6e-8 of the largest gradient.
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
    environment.checkpoint = fs::path(testing::TempDir()) / "tune.safetensors";
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
/// A batch whose teacher is given by its k likeliest tokens: random distributions, with k of them known.
TokenBatch TopTaught(int k, int vocab_size, std::vector<std::vector<double>>& probabilities) {
  TokenBatch batch = PackedTaught();
  batch.token_weights.clear();
  batch.top_k = k;
  for (std::size_t t = 0; t < batch.tokens.size(); ++t) {
    std::vector<double>& p = probabilities.emplace_back();
    double sum = 0;
    for (int v = 0; v < vocab_size; ++v)
      sum += p.emplace_back(std::exp(3 * std::sin(v * 1.3 + static_cast<double>(t))));
    std::vector<int> order(p.size());
    for (int v = 0; v < vocab_size; ++v) order[static_cast<std::size_t>(v)] = v;
    for (double& value : p) value /= sum;
    std::sort(order.begin(), order.end(),
              [&](int a, int b) { return p[static_cast<std::size_t>(a)] > p[static_cast<std::size_t>(b)]; });
    for (int i = 0; i < k; ++i) {
      batch.top_ids.push_back(order[static_cast<std::size_t>(i)]);
      batch.top_probabilities.push_back(
          static_cast<float>(p[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])]));
    }
  }
  return batch;
}

// By the formula on the logits of the model, and the gradients by differences of the loss.
TEST(Tune, LearnsFromTheLikeliestTokensOfATeacherThatIsNotThere) {
  const ModelConfig config = SmallConfig();
  const JobEnvironment environment;
  for (const int k : {1, 5, config.vocab_size - 1}) {
    std::vector<std::vector<double>> probabilities;
    const TokenBatch batch = TopTaught(k, config.vocab_size, probabilities);
    ModelWeights weights = RandomWeights(config);
    const auto run = [&] {
      TuneJob job{.config = config, .weights = &weights};
      job.steps = 1;
      return RunPass(job, batch);
    };
    const Pass pass = run();
    double expected = 0, total = 0;
    std::size_t begin = 0;
    for (std::size_t t = 1; t < batch.tokens.size(); ++t) {
      if (batch.positions[t] == 0) begin = t;
      const double weight = static_cast<double>(batch.teacher_weights[t]);
      if (weight == 0) continue;
      const std::vector<int> document(batch.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                      batch.tokens.begin() + static_cast<std::ptrdiff_t>(t));
      const std::vector<float> logits = TorchEngine().Logits(config, weights, document, "cpu");
      const std::size_t vocabulary = static_cast<std::size_t>(config.vocab_size);
      const float* last = logits.data() + logits.size() - vocabulary;
      double sum = 0, known = 0, known_teacher = 0, divergence = 0;
      for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(static_cast<double>(last[v]));
      for (int i = 0; i < k; ++i) {
        const auto id = static_cast<std::size_t>(
            batch.top_ids[t * static_cast<std::size_t>(k) + static_cast<std::size_t>(i)]);
        const double q = std::exp(static_cast<double>(last[id])) / sum, p = probabilities[t][id];
        known += q;
        known_teacher += p;
        divergence += p * std::log(p / q);
      }
      divergence += (1 - known_teacher) * std::log((1 - known_teacher) / (1 - known));
      expected += weight * divergence;
      total += weight;
    }
    EXPECT_NEAR(pass.loss, expected / total, 2e-4) << k;
    for (const char* name :
         {"model.norm.weight", "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"}) {
      std::size_t index = 0;
      while (pass.groups[index].name != name) ++index;
      const at::Tensor gradient = pass.gradients[index].reshape(-1);
      for (const std::size_t i : {std::size_t{3}, std::size_t{21}}) {
        constexpr float kStep = 2e-3f;
        float& value = weights.at(name).values[i];
        const float kept = value;
        value = kept + kStep;
        const double above = run().loss;
        value = kept - kStep;
        const double below = run().loss;
        value = kept;
        EXPECT_NEAR(gradient[static_cast<std::int64_t>(i)].item<double>(),
                    (above - below) / (2 * static_cast<double>(kStep)), 2e-4)
            << name << " " << k;
      }
    }
  }
}

// The relations of the layer come closer to the teacher's when they are asked for, and the pass is the usual
// one when they are not.
TEST(Tune, RelationsOfALayerAreLearnedToo) {
  const ModelConfig config = SmallConfig();
  const ModelWeights teacher = RandomWeights(config, 2);
  struct Relations : NullMetricSink {
    void Metric(std::string_view name, std::int64_t, double value) override {
      if (name.ends_with("/relation_loss")) values.push_back(value);
    }
    std::vector<double> values;
  };
  const auto train = [&](double share, int steps) {
    Relations sink;
    JobEnvironment environment;
    environment.sink = &sink;
    ModelWeights weights = RandomWeights(config);
    TuneJob job{.config = config, .weights = &weights, .teacher = &teacher};
    job.steps = steps;
    job.relation_share = share;
    job.relation_layer = 1;
    job.optimizer.learning_rate = 3e-3;
    job.batch = [](int, int) { return PackedTaught(); };
    job.environment = &environment;
    TorchEngine().Tune(job);
    return sink.values;
  };
  EXPECT_TRUE(train(0, 10).empty());
  const std::vector<double> little = train(1e-6, 60), much = train(3, 60);
  ASSERT_EQ(much.size(), 6u);
  EXPECT_GT(little.front(), 0);
  EXPECT_LT(much.back(), 0.7 * little.back());
}

TEST(Tune, TemperatureIsThatOfHeadsDividedByIt) {
  constexpr double kTemperature = 4;
  const ModelConfig config = SmallConfig(/*tied=*/false);
  const JobEnvironment environment;
  ModelWeights weights = RandomWeights(config), teacher = RandomWeights(config, 2);
  const auto pass = [&](const TokenBatch& batch, double temperature) {
    TuneJob job{.config = config, .weights = &weights, .teacher = &teacher, .steps = 1};
    job.teacher_temperature = temperature;
    job.trainable = [](const model::TensorSpec& spec) { return spec.name != "lm_head.weight"; };
    return RunPass(job, batch);
  };
  TokenBatch both = ApartTaught(), taught = both, gold = both;
  gold.teacher_weights.assign(gold.teacher_weights.size(), 0);
  taught.token_weights.assign(taught.token_weights.size(), 0);
  const double total = TotalWeight(both), of_teacher = TotalWeight(taught), of_gold = TotalWeight(gold);
  const Pass at_temperature = pass(both, kTemperature), of_gold_alone = pass(gold, 1);
  for (ModelWeights* model : {&weights, &teacher})
    for (float& value : model->at("lm_head.weight").values) value /= static_cast<float>(kTemperature);
  const Pass of_cooler = pass(taught, 1);
  const double share = kTemperature * kTemperature * of_teacher / total, gold_share = of_gold / total;
  EXPECT_NEAR(at_temperature.loss, share * of_cooler.loss + gold_share * of_gold_alone.loss, 1e-5);
  for (std::size_t g = 0; g < of_cooler.gradients.size(); ++g)
    EXPECT_TRUE(at::allclose(at_temperature.gradients[g],
                             of_cooler.gradients[g] * share + of_gold_alone.gradients[g] * gold_share, 1e-4,
                             1e-6))
        << of_cooler.groups[g].name;
}

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
