// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "model/model_weights.h"
#include "model/weight_source.h"
#include "runtime/kv_cache.h"
#include "runtime/linear.h"

namespace forge::runtime {

/// The weights of one decoder layer in the layout of the kernels. q, k, v are one matrix (in this order), and
/// so are gate and up: fewer, larger products.
struct PackedLayer {
  std::vector<float> input_norm, post_attention_norm;  // [hidden_size]
  Linear query_key_value;                              // [query_size + 2 key_value_size, hidden_size]
  std::vector<float> query_key_value_bias;             // empty without attention_bias
  std::vector<float> query_norm, key_norm;             // [head_dim]; empty without qk_norm
  Linear attention_output;                             // [hidden_size, query_size]
  Linear gate_up;                                      // [2 intermediate_size, hidden_size]
  Linear down;                                         // [hidden_size, intermediate_size]
};

/// What linears and the head multiply with: float32, exact in the weights; or int8, quantised block by block
/// on the way (runtime/ternary/code_matrix.h), for ternary weights of one or two planes, 8-bit and 4-bit
/// ones. Others (float types, Q4_1, ternary groups that are no multiple of 64) keep float32. kInt8IfTernary:
/// kInt8 for a model that has ternary linears, else kFloat32.
enum class Activations { kFloat32, kInt8, kInt8IfTernary };

/// How the best token is found where nothing else is asked of the head (a greedy token without its
/// log-probability): kTopK by FindBestRows (ternary/best_rows.h), where the head is held in halves; kFull by
/// all logits, as it is where the head is held in another way.
enum class GreedyHead { kFull, kTopK };

/// The norms of qwen3 on each query and key head of one token, in place: row [query_size + key_value_size].
/// Nothing without qk_norm.
void NormHeads(const model::ModelConfig& config, const PackedLayer& layer, float* row);

struct PackedWeights {
  model::ModelConfig config;
  Activations activations = Activations::kFloat32;   // never kInt8IfTernary
  KeyValueType key_values = KeyValueType::kFloat32;  // of the caches of who runs them
  GreedyHead greedy_head = GreedyHead::kTopK;        // of who runs them, too
  Linear embedding;  // [vocab_size, hidden_size]; also the head when that is tied
  std::vector<PackedLayer> layers;
  std::vector<float> final_norm;
  Linear head;  // empty when tied
  const Linear& head_or_embedding() const { return config.tie_word_embeddings ? embedding : head; }
  /// Whether greedy_head can be kTopK: with int8 activations and a Q8_0 head that was packed so (not one of
  /// an old packed file).
  bool HasHeadInHalves() const;
  std::size_t bytes() const;
};

/// How matrices are held; nothing: each as it is stored (PackedMatrix::HeldAs; ternary codes as such),
/// matrices that run as one and are stored in different ways as float32. Not kTernary.
struct PackOptions {
  std::optional<WeightType> linears;
  std::optional<WeightType> embeddings;  // embedding and head
  Activations activations = Activations::kFloat32;
  /// With int8 activations: kTwoBit, or kBase3 where it is smaller; nothing: what is fastest on this
  /// processor.
  std::optional<CodeLayout> ternary = {};
  KeyValueType key_values = KeyValueType::kFloat32;
  GreedyHead greedy_head = GreedyHead::kTopK;
  /// With int8 activations and a head (when tied: embedding) that is kInt8: CodeMatrix::EmptyRotated, rounded
  /// to that whatever it is stored as.
  bool rotates_head = false;
};

/// Packs tensor by tensor, so that beside the result there is memory for one matrix at most, and none where
/// the stored bytes are taken as they are. kInt8, kInt4, kInt4Minimum need inputs that are a multiple of 32
/// (Error kInput). Throws Error(kInput) for values that are not finite, as far as the source looks.
PackedWeights PackWeights(const model::WeightSource& source, const PackOptions& options);

/// One layer of them.
PackedLayer PackLayer(const model::WeightSource& source, int layer, const PackOptions& options);

/// The same of weights in memory (model::WeightsInMemory), those of `ternary` beside them.
PackedWeights PackWeights(const model::ModelConfig& config, const model::ModelWeights& weights,
                          const PackOptions& options, const model::TernaryWeights& ternary = {});

}  // namespace forge::runtime
