// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "train/torch/adamw.h"
#include "train/torch/gradient_sum.h"
#include "train/torch/tensor_model.h"
#include "train/tune_job.h"

namespace forge::train {

/// Each row of x [N, in] rounded to the multiples -127 to 127 of its largest magnitude / 127 (at least 1e-5 /
/// 127), in float32.
at::Tensor RoundToInt8(const at::Tensor& x);

/// Where a micro-batch leaves its gradients.
struct GradientSink {
  GradientSum* sum = nullptr;
  std::size_t micro = 0;
};

/// The weights of a TuneJob: what is trained, what the products use, and the linears with their gradients.
/// Sizes: N positions; `compute type` is float32, or bfloat16 with Precision::kBFloat16.
class TunedWeights {
 public:
  /// On the CPU the tensors are the memory of job.weights.
  TunedWeights(const TuneJob& job, const at::Device& device);
  /// A frozen model, job.teacher.
  static TunedWeights Teacher(const TuneJob& job, const at::Device& device);

  /// What the optimizer steps, in the order of the gradients.
  std::vector<AdamW::Group> Groups() const;
  /// Index of a trained tensor in that order; -1 when it is frozen.
  int IndexOf(const std::string& name) const;
  /// Copies trained weights to the compute type, ternary as far as they are in this step; before each step.
  void Refresh(int step);

  const at::Tensor& Weight(const std::string& name) const { return weights_.at(name); }  // float32
  const at::Tensor& Compute(const std::string& name) const;                              // compute type
  at::ScalarType compute_type() const { return compute_type_; }

  /// y [N, out] of x [N, in], both in the compute type, of the linear `module`
  /// ("model.layers.0.mlp.up_proj").
  at::Tensor Linear(const at::Tensor& x, const std::string& module) const;
  /// From dy [N, out]: adds the gradients of what is trained in this linear to `sink`; returns dx.
  at::Tensor LinearBackward(const at::Tensor& x, const at::Tensor& dy, const std::string& module,
                            const GradientSink& sink) const;
  /// Adds a gradient to the sink if the tensor is trained.
  void Give(const std::string& name, const at::Tensor& gradient, const GradientSink& sink) const;

  /// The factors as they are now; for a job with lora.
  model::LoraAdapter Adapter() const;
  /// Copies trained weights back where they are not the memory of job.weights (CUDA).
  void CopyTo(model::ModelWeights& weights) const;

 private:
  TunedWeights(const TuneJob& job, const model::ModelWeights& weights, bool trains, const at::Device& device);

  struct Factors {
    at::Tensor a, b;                  // [rank, in], [out, rank], float32
    at::Tensor compute_a, compute_b;  // in the compute type
  };
  bool IsTarget(const std::string& module) const;
  void MakeTernary(int step);
  /// x as the products see it: rounded to 8 bits as far as StraightThrough says.
  at::Tensor Inputs(const at::Tensor& x) const;

  LoraSettings lora_;
  StraightThrough straight_through_;
  double lora_scale_ = 0, lambda_ = 0;  // lambda of this step
  at::ScalarType compute_type_;
  ParameterMap weights_, compute_;
  std::vector<std::string> ternary_;        // linears that straight_through_ changes
  std::map<std::string, Factors> factors_;  // by module
  std::vector<std::string> trained_;        // names, in the order of the forward pass
  std::vector<bool> decays_;
  std::map<std::string, int> index_;
};

}  // namespace forge::train
