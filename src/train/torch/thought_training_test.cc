// SPDX-License-Identifier: Apache-2.0
// The numeric tests of quiet-star.md 5.7.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "model/testing_models.h"
#include "train/torch/thought_forward.h"
#include "train/torch/torch_engine.h"

namespace forge::train {
namespace {

const at::Device kCpu(at::kCPU);

struct Fixture {
  model::ModelConfig config = model::testing::TinyConfig();
  model::ModelWeights weights = model::testing::RandomWeights(config);
  ParameterMap parameters = ToParameters(weights, kCpu);
  JobEnvironment environment;
  ThoughtJob job;
  ThoughtParameters thought;

  Fixture() {
    job = {.config = config,
           .initial = &weights,
           .mixing_head = MakeMixingHead(config.hidden_size, 3),
           .thought_length = 3,
           .thoughts_per_position = 2,
           .look_ahead = 2,
           .banned_tokens = {8}};
    Random random(4, "meta");
    for (int i = 0; i < config.hidden_size; ++i) {
      job.start_embedding.push_back(0.1f * static_cast<float>(random.Normal()));
      job.end_embedding.push_back(0.1f * static_cast<float>(random.Normal()));
    }
    job.environment = &environment;
    thought = ToThoughtParameters(job, kCpu);
  }
  TensorModel Model() { return TensorModel(config, parameters); }
  std::vector<ThoughtRow> Rows() { return {{{7, 1, 33, 12, 9, 0, 39}, {0, 2, 4}}, {{5, 20, 21, 2}, {1}}}; }
};

// Test 1: each token of each thought sees what it would see in a plain sequence: text, start, thought, end,
// look-ahead.
TEST(ThoughtForward, ParallelStatesEqualSequentialOnesForAllPositionsAndPasses) {
  Fixture f;
  ThoughtBatch batch = MakeThoughtBatch(f.job, f.Rows());
  SampleThoughts(f.Model(), f.thought, f.job, batch, 1, kCpu);
  const int passes = f.job.thought_length + 2 + f.job.look_ahead - 1;
  const at::Tensor states = ThoughtStates(f.Model(), f.thought, f.job, batch, passes, kCpu);
  for (int row = 0; row < batch.rows; ++row)
    for (int column = 0; column < batch.columns; ++column) {
      const ThoughtLayout& layout = batch.layouts[static_cast<std::size_t>(row)];
      const int anchor = layout.anchors[static_cast<std::size_t>(column)];
      const int* text = batch.texts.data() + row * batch.text_length;
      std::vector<at::Tensor> embeddings;
      const auto token = [&](int id) {
        embeddings.push_back(f.Model().Embed(at::tensor({id}, at::kLong))[0]);
      };
      for (int i = 0; i <= anchor; ++i) token(text[i]);
      embeddings.push_back(f.thought.start_embedding);
      for (int t = 0; t < f.job.thought_length; ++t)
        token(batch.thoughts[static_cast<std::size_t>((row * batch.columns + column) * f.job.thought_length +
                                                      t)]);
      embeddings.push_back(f.thought.end_embedding);
      token(text[std::min(anchor + 1, batch.text_length - 1)]);
      const auto length = static_cast<std::int64_t>(embeddings.size());
      const at::Tensor plain = f.Model().Forward(at::stack(embeddings).unsqueeze(0),
                                                 at::arange(length, at::kLong).unsqueeze(0))[0];
      for (int pass = 1; pass <= passes; ++pass) {
        const double difference =
            (plain[anchor + pass] - states[row][layout.Index(pass, column)]).abs().max().item<double>();
        EXPECT_LE(difference, 1e-5) << row << " " << column << " " << pass;
      }
    }
}

// Test 4: frequencies against softmax(2, 1, 0, -1) = .6439 .2369 .0871 .0321; chi-square with 3 degrees of
// freedom, 16.27 is its 0.1 % point. Banned ids never come.
TEST(SampleThoughts, DrawsFromTheSoftmaxAndNeverABannedToken) {
  Fixture f;
  // A model whose state is the start embedding's norm-scaled first coordinate: logits 2, 1, 0, -1 on ids
  // 0..3.
  for (auto& [name, parameter] : f.parameters)
    if (name.find("proj.weight") != std::string::npos) parameter.zero_();
  for (auto& [name, parameter] : f.parameters)
    if (name.find("proj.bias") != std::string::npos) parameter.zero_();
  at::Tensor& table = f.parameters.at("model.embed_tokens.weight");
  table.fill_(0);
  table.select(1, 0).fill_(-30);
  const double logits[] = {2, 1, 0, -1};
  f.parameters.at("model.norm.weight").fill_(1);
  f.thought.start_embedding = at::zeros({f.config.hidden_size});
  f.thought.start_embedding[0] = 1;
  const double state = 1 / std::sqrt(1.0 / f.config.hidden_size + f.config.rms_norm_eps);
  for (int i = 0; i < 4; ++i) table[i][0] = logits[i] / state;
  table[8][0] = 5 / state;  // the most likely token is banned
  f.job.thought_length = 1;
  f.job.thoughts_per_position = 200;
  std::vector<int> counts(40);
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    ThoughtBatch batch = MakeThoughtBatch(f.job, {{{0, 0, 0, 0}, {0}}});
    SampleThoughts(f.Model(), f.thought, f.job, batch, stream, kCpu);
    for (const int token : batch.thoughts) ++counts[static_cast<std::size_t>(token)];
  }
  EXPECT_EQ(counts[8], 0);
  const double expected[] = {.6439, .2369, .0871, .0321};
  double chi_square = 0;
  for (std::size_t i = 0; i < 4; ++i)
    chi_square += std::pow(counts[i] - 4000 * expected[i], 2) / (4000 * expected[i]);
  EXPECT_LT(chi_square, 16.27);
}

// Test 3 and the parity preset: with weight 0 the mixed prediction is the base one, so no reward and no
// policy term.
TEST(ThoughtLoss, IsThatOfTheBaseModelWhenTheMixingWeightIsZero) {
  Fixture f;
  f.thought.b3.fill_(-1e9);
  f.job.entropy_bonus = 0;
  ThoughtBatch batch = MakeThoughtBatch(f.job, f.Rows());
  SampleThoughts(f.Model(), f.thought, f.job, batch, 1, kCpu);
  const ThoughtLoss loss = ComputeThoughtLoss(f.Model(), f.Model(), f.thought, f.job, batch, 9, 8, kCpu);
  EXPECT_EQ(loss.weight, 0);
  EXPECT_NEAR(loss.reward, 0, 1e-6);
  f.job.policy_weight = 0;
  const ThoughtLoss without = ComputeThoughtLoss(f.Model(), f.Model(), f.thought, f.job, batch, 9, 8, kCpu);
  EXPECT_NEAR(loss.total.item<double>(), without.total.item<double>(), 1e-6);
}

// Test 6: central differences on head, meta embeddings and a trunk weight; the policy term does not reach the
// head.
TEST(ThoughtLoss, GradientsEqualFiniteDifferencesAndThePolicyDoesNotReachTheHead) {
  Fixture f;
  f.job.policy_weight = 0;
  f.thought.w3.fill_(0.05);
  ThoughtBatch batch = MakeThoughtBatch(f.job, f.Rows());
  SampleThoughts(f.Model(), f.thought, f.job, batch, 1, kCpu);
  const ParameterMap frozen = ToParameters(f.weights, kCpu);
  const TensorModel reference(f.config, frozen);
  const auto loss = [&] {
    return ComputeThoughtLoss(f.Model(), reference, f.thought, f.job, batch, 9, 8, kCpu).total;
  };
  std::vector<std::pair<std::string, at::Tensor*>> checked = f.thought.All();
  checked.emplace_back("trunk", &f.parameters.at("model.layers.1.mlp.up_proj.weight"));
  for (auto& [name, tensor] : checked) {
    tensor->requires_grad_(true);
    const at::Tensor gradient = torch::autograd::grad({loss()}, {*tensor})[0];
    tensor->requires_grad_(false);
    const std::int64_t index = gradient.abs().argmax().item<std::int64_t>();
    float* value = tensor->mutable_data_ptr<float>() + index;
    const float kept = *value, h = 0.01f;
    *value = kept + h;
    const double above = loss().item<double>();
    *value = kept - h;
    const double below = loss().item<double>();
    *value = kept;
    const double numeric = (above - below) / (2 * static_cast<double>(h));
    EXPECT_NEAR(gradient.flatten()[index].item<double>(), numeric, 2e-4 + 0.02 * std::abs(numeric)) << name;
  }
  f.job.policy_weight = 1;
  f.job.base_loss_share = 1;  // only the base NLL and the policy are left
  f.job.entropy_bonus = 0;
  f.thought.w1.requires_grad_(true);
  f.thought.start_embedding.requires_grad_(true);
  const auto gradients = torch::autograd::grad({loss()}, {f.thought.w1, f.thought.start_embedding}, {},
                                               std::nullopt, false, true);
  EXPECT_TRUE(!gradients[0].defined() || gradients[0].abs().max().item<double>() == 0);
  EXPECT_GT(gradients[1].abs().max().item<double>(), 0);
}

// Test 5: E[gradient] by enumeration. One thought token, V tokens allowed, G = 2: the expectation of the
// estimator over both thoughts equals the gradient of the expected reward, to float32 rounding.
TEST(ThoughtLoss, PolicyGradientIsUnbiasedByFullEnumeration) {
  Fixture f;
  f.job.thought_length = 1;
  f.job.base_loss_share = 0;
  f.job.entropy_bonus = 0;
  f.job.look_ahead = 1;
  f.job.banned_tokens.clear();
  for (int id = 3; id < f.config.vocab_size; ++id) f.job.banned_tokens.push_back(id);  // 0, 1, 2 are left
  f.thought.b3.fill_(1);
  const std::vector<ThoughtRow> rows{{{7, 1, 33, 12}, {2}}};
  const ParameterMap frozen = ToParameters(f.weights, kCpu);
  const TensorModel reference(f.config, frozen);
  f.thought.start_embedding.requires_grad_(true);

  // Probability of each thought and its reward, then the exact gradient of sum_a p(a) r(a) with r held fixed.
  ThoughtBatch batch = MakeThoughtBatch(f.job, rows);
  std::vector<double> rewards(3), probabilities(3);
  const at::Tensor state = ThoughtStates(f.Model(), f.thought, f.job, batch, 1, kCpu)[0][batch.text_length];
  const at::Tensor policy = at::softmax(f.Model().Head(state).narrow(0, 0, 3), 0);
  for (int a = 0; a < 3; ++a) {
    batch.thoughts = {a, a};
    rewards[static_cast<std::size_t>(a)] =
        ComputeThoughtLoss(f.Model(), reference, f.thought, f.job, batch, 1, 2, kCpu).reward;
    probabilities[static_cast<std::size_t>(a)] = policy[a].item<double>();
  }
  const at::Tensor expected_reward = (policy * at::tensor(rewards).to(at::kFloat)).sum();
  const at::Tensor exact = torch::autograd::grad({expected_reward}, {f.thought.start_embedding})[0];

  // The estimator: the policy part of the loss is the difference between policy_weight 1 and 0.
  at::Tensor expectation = at::zeros_like(exact);
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) {
      batch.thoughts = {a, b};
      const auto gradient = [&](double weight) {
        f.job.policy_weight = weight;
        const ThoughtLoss loss =
            ComputeThoughtLoss(f.Model(), reference, f.thought, f.job, batch, 1, 2, kCpu);
        return torch::autograd::grad({loss.total}, {f.thought.start_embedding})[0];
      };
      expectation += (gradient(1) - gradient(0)) * (probabilities[static_cast<std::size_t>(a)] *
                                                    probabilities[static_cast<std::size_t>(b)]);
    }
  const double scale = exact.abs().max().item<double>();
  EXPECT_LT((expectation + exact).abs().max().item<double>(),
            2e-4 * scale + 2e-7);  // the loss is minus the reward
}

// Test 7 and 11 for this job: trained twice, and trained with a stop in between, the result has the same
// bytes.
TEST(TrainThoughts, IsReproducible) {
  Fixture f;
  f.job.steps = 6;
  f.job.batch = [&](int) { return f.Rows(); };
  TorchEngine engine;
  const ThoughtResult first = engine.TrainThoughts(f.job), second = engine.TrainThoughts(f.job);
  EXPECT_TRUE(first.weights == second.weights);
  EXPECT_EQ(first.mixing_head.w1, second.mixing_head.w1);
  EXPECT_NE(first.start_embedding, f.job.start_embedding);
}

}  // namespace
}  // namespace forge::train
