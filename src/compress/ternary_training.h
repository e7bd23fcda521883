// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "compress/calibration.h"
#include "compress/lambda_schedule.h"
#include "compress/linear_storage.h"
#include "model/model_weights.h"
#include "train/engine.h"
#include "train/tune_job.h"

namespace forge::compress {

/// A model with ternary linears, some of them perhaps as blocks of more bits; `weights` holds all other
/// tensors, of tables the values that their blocks have.
struct CompressedModel {
  model::ModelConfig config;
  model::ModelWeights weights;
  model::TernaryWeights ternary;
  model::TernaryWeights second_plane = {};            // added to those of `ternary`, where there is one
  std::map<std::string, EncodedLinear> encoded = {};  // linears, and the tables
};

/// Embedding and head.
bool IsTable(const model::TensorSpec& spec);

/// Throws Error(kInput) listing every linear whose rows do not divide into groups of `group`.
void CheckGroups(const model::ModelConfig& config, int group);

/// Rounds a table with rows of `columns` to `type`, whose blocks they must fill: `values` become what the
/// blocks hold, which are returned.
EncodedLinear RoundTable(std::vector<float>& values, std::int64_t columns, io::BlockType type);

/// Makes the linears ternary without training: the h-weighted optimum of each group (group_ternary.h).
/// Embedding and head are rounded to `tables`.
CompressedModel Ternarize(const model::ModelConfig& config, const model::ModelWeights& weights, int group,
                          const SecondMoments& moments, io::BlockType tables = io::BlockType::kQ8_0);

/// Part `micro` of the `micro_batches` parts, about equal, of a step. Pure. Targets by teacher_weights,
/// usually 1 on every token of the completions.
using TrainingBatches = std::function<train::TokenBatch(int step, int micro, int micro_batches)>;

struct TernaryTraining {
  int steps = 300;
  double learning_rate = 2e-3;
  LambdaSchedule lambda;
  int group = 64;
  io::BlockType tables = io::BlockType::kQ8_0;  // what embedding and head are rounded to
  /// Ternary linears to start from, whose training begins at their values; null: the model's own weights.
  const model::TernaryWeights* start = nullptr;
  train::Precision precision = train::Precision::kFloat32;
  double temperature = 1;         // TuneJob::teacher_temperature
  bool int8_activations = false;  // StraightThrough::int8_activations
  /// Above 0: learn from so many likeliest tokens of the teacher, found before by TeacherCache in
  /// `teacher_folder`. Not with a temperature, relations or minutes.
  int teacher_top_k = 0;
  std::filesystem::path teacher_folder = {};
  double relation_share = 0;  // TuneJob::relation_share
  int relation_layer = -1;    // TuneJob::relation_layer; below 0: three quarters of the way up
  /// Instead of `steps`, as many as fit into so many minutes at the pace of the first ones, which are taken
  /// twice; kept beside the checkpoint, so that a resumed training has the same number. 0: `steps`.
  double minutes = 0;
  std::uint64_t max_memory = 0;  // bytes that it may take: it then works in smaller parts; 0: two of a step
  TrainingBatches batch;
  train::JobEnvironment environment;
};

/// Trains the linears so that the model survives being ternary: every step runs W + lambda * sg(Q(W) - W), Q
/// being the same optimum with the same moments and binary16 scales as Ternarize, and learns from the
/// distribution of the uncompressed model. Embedding and head stay at their rounded values, so the trained
/// model is the exported one; norms and biases are trained. Q keeps ternary values as they are, so a training
/// with `start` begins at the loss of that model whatever lambda is. Resumes from environment.checkpoint.
CompressedModel TrainTernary(const model::ModelConfig& config, const model::ModelWeights& weights,
                             const SecondMoments& moments, const TernaryTraining& training);

}  // namespace forge::compress
