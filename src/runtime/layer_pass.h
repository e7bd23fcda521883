// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "runtime/packed_weights.h"
#include "runtime/rotary_table.h"

namespace forge::runtime {

/// The forward pass of one decoder layer, linear by linear, for those who change the layer on the way
/// (compression layer by layer: the residual states of many texts are held, and a layer's weights are
/// replaced as soon as their inputs are known). In this order:
///   AttentionInput, Attended, AddAttentionOutput, MlpInput, Gated, AddDown
/// give what Transformer gives, to the bit. All work on the rows of one text, whose first token has position
/// 0; the weights are those of the PackedLayer at the time of the call. On the global thread pool.
class LayerPass {
 public:
  /// `longest`: tokens of the longest text. Both must outlive it.
  LayerPass(const model::ModelConfig& config, const PackedLayer& layer, std::size_t longest);

  /// What q, k and v take: the normed states. rows [tokens, hidden_size].
  void AttentionInput(const float* states, std::size_t tokens, float* rows) const;
  /// What o takes: attended [tokens, query_size] of the rows of AttentionInput.
  void Attended(const float* rows, std::size_t tokens, float* attended) const;
  /// states += o(attended).
  void AddAttentionOutput(const float* attended, std::size_t tokens, float* states) const;
  /// What gate and up take. rows [tokens, hidden_size].
  void MlpInput(const float* states, std::size_t tokens, float* rows) const;
  /// What down takes: silu(gate(rows)) * up(rows), [tokens, intermediate_size].
  void Gated(const float* rows, std::size_t tokens, float* gated) const;
  /// states += down(gated).
  void AddDown(const float* gated, std::size_t tokens, float* states) const;
  /// All of them: states [tokens, hidden_size] of one text become those behind the layer.
  void Run(std::size_t tokens, float* states) const;

 private:
  void Norm(const std::vector<float>& gain, const float* states, std::size_t tokens, float* rows) const;
  void AddProduct(const Linear& matrix, const float* rows, std::size_t tokens, float* states) const;

  const model::ModelConfig& config_;
  const PackedLayer& layer_;
  model::ModelConfig one_layer_;  // the config of a cache for this layer alone
  RotaryTable rotary_;
};

}  // namespace forge::runtime
