// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "model/model_weights.h"
#include "train/optimizer_config.h"
#include "train/precision.h"

namespace forge::train {

struct JobEnvironment;

/// What a decoder layer takes and what is wanted of it, for a micro-batch of a LayerJob.
struct LayerBatch {
  int rows = 0, length = 0;    // tokens of a row; the same for all batches of a job
  std::vector<int> positions;  // [rows, length], of each token in its text, as TokenBatch::positions
  std::vector<float> inputs;   // [rows, length, hidden_size]: the residual stream before the layer
  std::vector<float> targets;  // [rows, length, hidden_size]: the stream that should come out
  std::vector<float> weights;  // [rows, length]: of a token's squared error; 0 where a row is filled up
};

/// Block reconstruction (BRECQ, Li et al. 2021, arXiv:2102.05426): the linears of one decoder layer become
/// ternary together, so that the layer's output comes near a wanted one. Softly first: a weight is
///   w = alpha f(u - mu),  f(x) = (tanh(s (x - delta)) + tanh(s (x + delta))) / (2 tanh s)
/// with alpha, delta and mu of its group and a slope s that rises until f is nearly the step to -1, 0, 1
/// (CAT-Q, arXiv:2606.26650; there u is the weight and stays as it is, here it is trained as well). u starts
/// at the weight over its group's scale, delta at 1/2, mu at 0. The last steps are hard, with the gradient
/// straight through to u where |u - mu| < 1.5.
struct LayerJob {
  model::ModelConfig config;                     // num_hidden_layers is 1
  const model::ModelWeights* weights = nullptr;  // of that layer, as they were before they became ternary
  model::TernaryWeights* ternary = nullptr;      // its linears: in, the scales to start from; out, the result
  int steps = 0;
  double soft_share = 0.95;                              // of the steps; the slope rises over them
  int micro_batches = 2;                                 // as TuneJob::micro_batches
  std::function<LayerBatch(int step, int micro)> batch;  // pure, as TuneJob::batch
  OptimizerConfig optimizer;                             // of u, and of the factors of the groups
  Precision precision = Precision::kFloat32;
  const JobEnvironment* environment = nullptr;
};

struct LayerResult {
  std::vector<double> losses;  // of each step: weighted squared error
};

}  // namespace forge::train
