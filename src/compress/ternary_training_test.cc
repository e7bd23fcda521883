// SPDX-License-Identifier: Apache-2.0
#include "compress/ternary_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/thread_pool.h"
#include "compress/testing_folder.h"
#include "compress/testing_model.h"
#include "train/memory_plan.h"

namespace forge::compress {
namespace {

using model::ModelConfig;
using model::ModelWeights;
using model::testing::TinyConfig;
using testing::OpinionatedWeights;
using testing::RandomText;
using testing::TeacherBatch;

/// Mean KL(original || compressed) in nats over texts that no batch holds.
double Divergence(const ModelWeights& original, const CompressedModel& compressed) {
  const ModelConfig& config = compressed.config;
  runtime::NativeModel first(config, original), second(config, compressed.weights, {}, compressed.ternary);
  const auto size = static_cast<std::size_t>(config.vocab_size);
  double total = 0;
  for (std::uint64_t text = 0; text < 10; ++text) {
    const std::vector<float> p = first.Logits(RandomText(config, text)),
                             q = second.Logits(RandomText(config, text));
    for (std::size_t row = 0; row < 12; ++row) {
      double p_sum = 0, q_sum = 0;
      for (std::size_t v = 0; v < size; ++v) {
        p_sum += std::exp(p[row * size + v]);
        q_sum += std::exp(q[row * size + v]);
      }
      for (std::size_t v = 0; v < size; ++v) {
        const double log_p = p[row * size + v] - std::log(p_sum), log_q = q[row * size + v] - std::log(q_sum);
        total += std::exp(log_p) * (log_p - log_q) / 120;
      }
    }
  }
  return total;
}

TernaryTraining Training(const ModelConfig& config, int steps) {
  return {.steps = steps,
          .batch = [&config](int step, int micro,
                             int micro_batches) { return TeacherBatch(config, step, micro, micro_batches); },
          .environment = {}};
}

TEST(RoundTable, LeavesTheValuesOfTheBlocksThatItReturns) {
  constexpr std::int64_t kColumns = 256;
  std::vector<float> original;
  Random random(1, "table");
  for (std::int64_t i = 0; i < 40 * kColumns; ++i) original.push_back(static_cast<float>(random.Normal()));
  double last = 0;
  for (const io::BlockType type : {io::BlockType::kF16, io::BlockType::kQ8_0, io::BlockType::kQ6_K,
                                   io::BlockType::kQ5_1, io::BlockType::kQ5_0, io::BlockType::kQ4_0}) {
    std::vector<float> rounded = original, stored(original.size());
    const EncodedLinear table = RoundTable(rounded, kColumns, type);
    EXPECT_EQ(table.type, type);
    io::DecodeBlocks(type, table.blocks, stored);
    EXPECT_EQ(rounded, stored);
    double error = 0;
    for (std::size_t i = 0; i < original.size(); ++i) error += std::fabs(rounded[i] - original[i]);
    EXPECT_GT(error, last) << io::Info(type).name;
    last = error;
  }
}

TEST(Ternarize, UsesTheMomentsOfEachLinear) {
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  SecondMoments moments;
  for (int i = 0; i < 128; ++i)
    moments["model.layers.1.mlp.down_proj.weight"].push_back(1.0f + static_cast<float>(i % 5));
  const CompressedModel plain = Ternarize(config, weights, 64, {}),
                        weighted = Ternarize(config, weights, 64, moments);
  for (const auto& [name, tensor] : plain.ternary)
    EXPECT_EQ(weighted.ternary.at(name).scales == tensor.scales,
              name != "model.layers.1.mlp.down_proj.weight")
        << name;
  EXPECT_EQ(plain.weights.size() + plain.ternary.size(), weights.size());
}

TEST(TrainTernary, BringsTheModelCloserToItsTeacherThanRoundingDoes) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  const CompressedModel rounded = Ternarize(config, weights, 64, {});
  TernaryTraining training = Training(config, 150);
  const CompressedModel trained = TrainTernary(config, weights, {}, training);
  EXPECT_LT(Divergence(weights, trained), 0.6 * Divergence(weights, rounded));
  // The tables are frozen as exported, norms and biases are not.
  EXPECT_EQ(trained.weights.at("model.embed_tokens.weight"), rounded.weights.at("model.embed_tokens.weight"));
  EXPECT_EQ(trained.encoded.at("model.embed_tokens.weight").blocks,
            rounded.encoded.at("model.embed_tokens.weight").blocks);
  training.steps = 1;
  training.tables = io::BlockType::kQ4_0;
  EXPECT_EQ(TrainTernary(config, weights, {}, training).weights.at("model.embed_tokens.weight"),
            Ternarize(config, weights, 64, {}, io::BlockType::kQ4_0).weights.at("model.embed_tokens.weight"));
  EXPECT_NE(trained.weights.at("model.norm.weight"), weights.at("model.norm.weight"));
  EXPECT_NE(trained.weights.at("model.layers.0.self_attn.q_proj.bias"),
            weights.at("model.layers.0.self_attn.q_proj.bias"));
}

// The loss of the last step, at lambda 1, is that of the exported model before the last update.
TEST(TrainTernary, TrainsTheModelThatItExports) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  TernaryTraining training = Training(config, 2);
  training.lambda.fraction = 0;  // lambda is 1 at once
  training.learning_rate = 0;    // nothing moves
  struct Losses : NullMetricSink {
    void Metric(std::string_view name, std::int64_t, double value) override {
      if (name.ends_with("/loss")) last = value;
    }
    double last = -1;
  } losses;
  training.environment.sink = &losses;
  // The ten texts of Divergence, all predictions after the first token.
  training.batch = [&](int, int micro, int micro_batches) {
    const int begin = 10 * micro / micro_batches, end = 10 * (micro + 1) / micro_batches;
    train::TokenBatch batch{.rows = end - begin, .length = 12};
    for (int row = begin; row < end; ++row) {
      const std::vector<int> text = RandomText(config, static_cast<std::uint64_t>(row));
      batch.tokens.insert(batch.tokens.end(), text.begin(), text.end());
      for (int t = 0; t < 12; ++t) batch.teacher_weights.push_back(t == 0 ? 0.0f : 1.0f);
    }
    return batch;
  };
  const CompressedModel exported = TrainTernary(config, weights, {}, training);
  // Divergence counts the state after the last token too; 11 of 12 positions are the batch's. Compare by
  // logits there.
  const auto size = static_cast<std::size_t>(config.vocab_size);
  runtime::NativeModel first(config, weights), second(config, exported.weights, {}, exported.ternary);
  double expected = 0;
  for (std::uint64_t text = 0; text < 10; ++text) {
    const std::vector<float> p = first.Logits(RandomText(config, text)),
                             q = second.Logits(RandomText(config, text));
    for (std::size_t row = 0; row < 11; ++row) {
      double p_sum = 0, q_sum = 0;
      for (std::size_t v = 0; v < size; ++v) {
        p_sum += std::exp(p[row * size + v]);
        q_sum += std::exp(q[row * size + v]);
      }
      for (std::size_t v = 0; v < size; ++v) {
        const double log_p = p[row * size + v] - std::log(p_sum);
        expected += std::exp(log_p) * (log_p - q[row * size + v] + std::log(q_sum)) / 110;
      }
    }
  }
  EXPECT_NEAR(losses.last, expected, 1e-5);  // float32 sums of O(1) logits in two engines
}

TEST(TrainTernary, WorksInSmallerPartsWithinItsMemory) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  struct Lines : NullMetricSink {
    void Log(std::string_view line) override { text += std::string(line) + "\n"; }
    std::string text;
  } usual, small;
  TernaryTraining training = Training(config, 10);
  training.environment.sink = &usual;
  const CompressedModel at_ease = TrainTernary(config, weights, {}, training);
  EXPECT_THAT(usual.text, ::testing::HasSubstr("2 micro-batches of 4 rows, activations kept"));
  training.max_memory = 1'000'000;
  EXPECT_THROW(TrainTernary(config, weights, {}, training), Error);
  // Activations of two parts at once are all that can be saved here, and little beside the program.
  train::MemoryRequest request{.rows = 8, .length = 12, .threads = ThreadPool::Global().num_threads()};
  request.has_teacher = request.is_ternary = true;
  request.trainable = [](const model::TensorSpec& spec) { return !IsTable(spec); };
  training.max_memory = train::PlanMemory(config, request, 1, true).total();
  training.environment.sink = &small;
  const CompressedModel divided = TrainTernary(config, weights, {}, training);
  EXPECT_THAT(small.text, ::testing::HasSubstr("8 micro-batches of 1 row, activations computed again"));
  // The same sums in another order.
  EXPECT_NEAR(Divergence(weights, divided), Divergence(weights, at_ease), 0.02);
}

TEST(TrainTernary, LearnsFromKeptAnswersAsFromTheTeacher) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const testing::TestFolder folder;
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  TernaryTraining training = Training(config, 150);
  const double beside = Divergence(weights, TrainTernary(config, weights, {}, training));
  training.teacher_folder = folder.path() / "teacher";
  training.teacher_top_k = config.vocab_size - 1;
  EXPECT_NEAR(Divergence(weights, TrainTernary(config, weights, {}, training)), beside, 0.15 * beside);
  training.teacher_top_k = 8;
  const double rounded = Divergence(weights, Ternarize(config, weights, 64, {}));
  EXPECT_LT(Divergence(weights, TrainTernary(config, weights, {}, training)), 0.75 * rounded);
}

// A start that nearest rounding of the weights would not give, with a learning rate of 0: it comes back.
TEST(TrainTernary, BeginsAtTheTernaryModelThatItIsGiven) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  model::TernaryWeights start = Ternarize(config, weights, 64, {}).ternary;
  SecondMoments moments;
  for (auto& [name, tensor] : start) {
    for (std::size_t i = 0; i < tensor.codes.size(); i += 3)
      tensor.codes[i] = static_cast<std::int8_t>(tensor.codes[i] == 1 ? -1 : tensor.codes[i] + 1);
    for (std::int64_t i = 0; i < tensor.shape[1]; ++i)
      moments[name].push_back(1.0f + static_cast<float>(i % 5));
  }
  for (const auto shape : {LambdaSchedule::Shape::kLinear, LambdaSchedule::Shape::kNone}) {
    TernaryTraining training = Training(config, 3);
    training.learning_rate = 0;
    training.start = &start;
    training.lambda.shape = shape;
    const CompressedModel made = TrainTernary(config, weights, moments, training);
    for (const auto& [name, tensor] : start) {
      EXPECT_EQ(made.ternary.at(name).codes, tensor.codes) << name;
      EXPECT_EQ(made.ternary.at(name).scales, tensor.scales) << name;
    }
  }
}

TEST(TrainTernary, GoesOnAfterAStopToTheSameBits) {
  FORGE_SKIP_WITHOUT_ENGINE();
  const testing::TestFolder folder;
  const ModelConfig config = TinyConfig();
  const ModelWeights weights = OpinionatedWeights(config);
  const CompressedModel unbroken = TrainTernary(config, weights, {}, Training(config, 12));
  TernaryTraining training = Training(config, 12);
  StopToken stop;
  training.environment.checkpoint = folder.path() / "compress.checkpoint";
  training.environment.stop = &stop;
  training.batch = [&](int step, int micro, int micro_batches) {
    if (step == 7) stop.RequestStop();
    return TeacherBatch(config, step, micro, micro_batches);
  };
  EXPECT_THROW(TrainTernary(config, weights, {}, training), Error);
  training.environment.stop = nullptr;
  const CompressedModel resumed = TrainTernary(config, weights, {}, training);
  EXPECT_EQ(resumed.weights, unbroken.weights);
  for (const auto& [name, tensor] : unbroken.ternary) {
    EXPECT_EQ(resumed.ternary.at(name).codes, tensor.codes);
    EXPECT_EQ(resumed.ternary.at(name).scales, tensor.scales);
  }
}

}  // namespace
}  // namespace forge::compress
