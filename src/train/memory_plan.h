// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "model/model_config.h"
#include "train/tune_job.h"

namespace forge::train {

/// What decides the memory of a TuneJob beside the model.
struct MemoryRequest {
  int rows = 0;    // of a step
  int length = 0;  // tokens of a row
  int threads = 1;
  LoraSettings lora;
  Precision precision = Precision::kFloat32;
  bool has_teacher = false;
  bool is_ternary = false;                                  // TuneJob::straight_through
  std::function<bool(const model::TensorSpec&)> trainable;  // as in TuneJob
  std::string advice = {};  // what else would help where it does not fit, after "give --max-memory-gb X"
};

/// Bytes that a TuneJob takes at its peak, by what they are for. An upper bound: the parts do not all peak at
/// the same moment.
struct MemoryPlan {
  int micro_rows = 0;     // rows of a micro-batch
  int micro_batches = 0;  // of a step
  bool recompute_activations = false;
  std::uint64_t program = 0;      // forge and libtorch
  std::uint64_t weights = 0;      // with their copies for bfloat16, their ternary values, and the teacher's
  std::uint64_t gradients = 0;    // with those on the way into the sum
  std::uint64_t moments = 0;      // of AdamW
  std::uint64_t activations = 0;  // of all micro-batches that run at once
  std::uint64_t total() const { return program + weights + gradients + moments + activations; }
};

/// The plan for micro-batches of `micro_rows` rows.
MemoryPlan PlanMemory(const model::ModelConfig& config, const MemoryRequest& request, int micro_rows,
                      bool recompute_activations);

/// The fastest plan within `limit` bytes: activations kept before computed again, large micro-batches before
/// small ones (but two of a step, so that two threads have work). 0: no limit, micro-batches of at most about
/// 1,024 tokens; then the plan does not depend on the threads. Throws Error(kInput) that names the smallest
/// limit that would do.
MemoryPlan ChooseMemoryPlan(const model::ModelConfig& config, const MemoryRequest& request,
                            std::uint64_t limit);

/// "memory: 3.10 GB: program 0.30, weights 0.54, ..; 2 micro-batches of 1 row, activations kept", for the
/// log.
std::string Describe(const MemoryPlan& plan);

}  // namespace forge::train
