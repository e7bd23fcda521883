// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/lora.h"
#include "model/model_weights.h"
#include "train/optimizer_config.h"
#include "train/precision.h"
#include "train/straight_through.h"
#include "train/token_batch.h"

namespace forge::train {

struct JobEnvironment;

/// A LoRA adapter to be trained (Hu et al. 2021, arXiv:2106.09685): W x + alpha / rank * B A x. A starts
/// uniform in +-1/sqrt(in), as in PEFT, B at zero, so that training starts at the base model.
struct LoraSettings {
  int rank = 0;  // 0: none, the weights themselves are trained
  double alpha = 0;
  std::vector<std::string> targets;  // ends of the names of linears: "q_proj"
  std::uint64_t seed = 1;            // of A
};

/// Fine-tuning of a whole model, or of a LoRA adapter to it, on token and teacher weights. Beside TrainJob it
/// has what large models need: weights trained where they lie, one set of gradients for all micro-batches,
/// activations computed again instead of kept, bfloat16 products; and ternary weights.
struct TuneJob {
  model::ModelConfig config;
  model::ModelWeights* weights = nullptr;  // trained in place; only read when an adapter is trained
  const model::ModelWeights* teacher =
      nullptr;  // frozen, of the same shape; for batches with teacher_weights and without top_ids
  /// Both distributions are softened by it (Hinton et al. 2015, arXiv:1503.02531, section 2.1), and the
  /// divergence is multiplied by its square, so that its gradients stay as large. Above 0.
  double teacher_temperature = 1;
  /// The relations between tokens in this layer are learned from the teacher too (torch/relation_loss.h),
  /// with so much of the gradient's norm there that the main loss has; 0: not.
  double relation_share = 0;
  int relation_layer = 0;
  int steps = 0;
  /// Of a step. As many run at once as there are threads; their gradients are added in order, so the result
  /// depends on this number and not on that of the threads.
  int micro_batches = 2;
  /// Pure, as TrainJob::batch.
  std::function<TokenBatch(int step, int micro)> batch;
  OptimizerConfig optimizer;
  std::function<bool(const model::TensorSpec&)> trainable;  // empty: everything. Not asked with lora.
  StraightThrough straight_through;                         // not with lora
  LoraSettings lora;
  bool recompute_activations = false;  // same gradients, to the bit; about a third more work
  Precision precision = Precision::kFloat32;
  const JobEnvironment* environment = nullptr;
};

struct TuneResult {
  std::vector<double> losses;  // of each step of this call
  model::LoraAdapter adapter;  // of a job with lora
};

}  // namespace forge::train
