// SPDX-License-Identifier: Apache-2.0
// What a TuneJob learns from a teacher, or from what is known of it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "train/torch/testing_tune_pass.h"
#include "train/torch/torch_engine.h"

namespace forge::train {
namespace {

using namespace testing;

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

}  // namespace
}  // namespace forge::train
