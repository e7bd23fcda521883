// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "model/model_weights.h"

namespace forge::train {

/// The weights as tensors that may need gradients, by the names of ModelWeights.
using ParameterMap = std::map<std::string, at::Tensor>;

ParameterMap ToParameters(const model::ModelWeights& weights, const at::Device& device);
model::ModelWeights ToWeights(const ParameterMap& parameters);

/// The forward pass of the runtime's Transformer, with autograd.
class TensorModel {
 public:
  TensorModel(const model::ModelConfig& config, const ParameterMap& parameters);

  at::Tensor Embed(const at::Tensor& tokens) const;
  /// Final-normed states [rows, length, hidden_size] of embeddings [rows, length, hidden_size] at `positions`
  /// [rows, length]. `mask`: additive [rows, 1, length, length], or undefined for plain causal attention.
  at::Tensor Forward(const at::Tensor& embeddings, const at::Tensor& positions,
                     const at::Tensor& mask = {}) const;
  /// logits [.., vocab_size] of states [.., hidden_size].
  at::Tensor Head(const at::Tensor& states) const;

 private:
  const at::Tensor& Parameter(const std::string& name) const { return parameters_.at(name); }
  at::Tensor Linear(const at::Tensor& x, const std::string& name) const;
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor Attention(const at::Tensor& x, const std::string& prefix, const at::Tensor& cosine,
                       const at::Tensor& sine, const at::Tensor& mask) const;

  const model::ModelConfig& config_;
  const ParameterMap& parameters_;
};

}  // namespace forge::train
