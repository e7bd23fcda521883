// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "model/model_weights.h"
#include "runtime/kernels/packed_matrix.h"

namespace forge::runtime {

/// The weights of one decoder layer in the layout of the kernels. q, k, v are one matrix (in this order), and
/// so are gate and up: fewer, larger products.
struct PackedLayer {
  std::vector<float> input_norm, post_attention_norm;  // [hidden_size]
  PackedMatrix query_key_value;                        // [query_size + 2 key_value_size, hidden_size]
  std::vector<float> query_key_value_bias;             // empty without attention_bias
  std::vector<float> query_norm, key_norm;             // [head_dim]; empty without qk_norm
  PackedMatrix attention_output;                       // [hidden_size, query_size]
  PackedMatrix gate_up;                                // [2 intermediate_size, hidden_size]
  PackedMatrix down;                                   // [hidden_size, intermediate_size]
};

struct PackedWeights {
  model::ModelConfig config;
  PackedMatrix embedding;  // [vocab_size, hidden_size]; also the head when that is tied
  std::vector<PackedLayer> layers;
  std::vector<float> final_norm;
  PackedMatrix head;  // empty when tied
  std::size_t bytes() const;
};

struct PackOptions {
  WeightType linears = WeightType::kFloat32;     // not kTernary: give `ternary` for that
  WeightType embeddings = WeightType::kFloat32;  // embedding and head
};

/// Linears named in `ternary` are packed from there, all others from `weights`. q, k, v (and gate, up) of a
/// layer must be ternary together. kInt8 falls on linears whose input is a multiple of 32 and is refused
/// otherwise (Error kInput). The weights must fit the config (CheckWeights).
PackedWeights PackWeights(const model::ModelConfig& config, const model::ModelWeights& weights,
                          const PackOptions& options, const model::TernaryWeights& ternary = {});

}  // namespace forge::runtime
