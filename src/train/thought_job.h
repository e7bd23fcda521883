// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "model/model_weights.h"
#include "train/optimizer_config.h"

namespace forge::train {

struct JobEnvironment;

/// The head that mixes the prediction made after a thought with the one made without it (Quiet-STaR, Zelikman
/// et al. 2024, arXiv:2403.09629):
///   weight = sigmoid(w3 . relu(W2 relu(W1 [h; h'] + b1) + b2) + b3), logits = (1 - weight) base + weight
///   thought
/// h [hidden_size] is the state without thought, h' after it. Paper and released code disagree on the sign
/// and leave it unbounded; we follow the code's side (the weight is the thought's) and bound it. w3 starts at
/// zero and b3 at -2, so that training starts with a weight of 0.12 everywhere (quiet-star.md 5.2, 5.6).
struct MixingHead {
  int hidden_size = 0;
  std::vector<float> w1, b1;  // [hidden, 2 hidden], [hidden]
  std::vector<float> w2, b2;  // [hidden, hidden], [hidden]
  std::vector<float> w3;      // [hidden]
  float b3 = -2;
};

/// A freshly initialised head: W1, W2 normal with sd 1/sqrt(fan_in).
MixingHead MakeMixingHead(int hidden_size, std::uint64_t seed);
/// The mixing weight of one position, in (0, 1).
float MixingWeight(const MixingHead& head, const float* base_state, const float* thought_state);

/// A text and the places where thoughts are put: after token j a thought is sampled, then tokens j+1 ..
/// j+look_ahead are predicted from it.
struct ThoughtRow {
  std::vector<int> text;
  std::vector<int> positions;  // each j with j + look_ahead < text.size()
};

struct ThoughtJob {
  model::ModelConfig config;
  const model::ModelWeights* initial = nullptr;       // also the frozen reference of the reward
  std::vector<float> start_embedding, end_embedding;  // [hidden_size]: the learned meta tokens
  MixingHead mixing_head;
  int thought_length = 4;         // sampled tokens between start and end
  int thoughts_per_position = 2;  // G >= 2: the baseline of a thought is the mean of the others
  int look_ahead = 2;
  std::vector<int> banned_tokens;  // never sampled inside a thought
  int steps = 100;
  std::function<std::vector<ThoughtRow>(int step)> batch;  // pure, as in TrainJob
  OptimizerConfig optimizer;                               // of the model's weights
  double head_learning_rate = 1e-3;                        // of mixing head and meta embeddings
  double base_loss_share = 0.5;  // a: loss = a NLL_base + (1 - a) NLL_mixed + policy_weight * policy
  double policy_weight = 1.0;
  double entropy_bonus = 1e-3;
  double grace_fraction = 0.1;  // share of the steps in which only head and meta embeddings learn
  std::uint64_t seed = 1;
  const JobEnvironment* environment = nullptr;
};

struct ThoughtResult {
  model::ModelWeights weights;
  std::vector<float> start_embedding, end_embedding;
  MixingHead mixing_head;
};

}  // namespace forge::train
