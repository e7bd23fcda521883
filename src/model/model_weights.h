// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/model_config.h"

namespace forge::model {

/// One tensor in memory, float32, row-major.
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  bool operator==(const Tensor&) const = default;
};

/// All weights of a model by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight", ...), sorted
/// by name. A tied head is not stored: lm_head.weight is absent when tie_word_embeddings is set.
using ModelWeights = std::map<std::string, Tensor>;

/// A linear with ternary weights: value [o][i] = scales[o][i / group] * codes[o][i], codes in {-1, 0, 1}.
struct TernaryTensor {
  std::vector<std::int64_t> shape;  // [out, in], `in` a multiple of group
  std::vector<std::int8_t> codes;   // [out, in]
  std::vector<float> scales;        // [out, in / group], exact in binary16
  int group = 64;
};
using TernaryWeights = std::map<std::string, TernaryTensor>;  // by the names of ModelWeights

/// The float32 tensor that it stands for.
Tensor Dequantize(const TernaryTensor& ternary);

/// What a tensor is for. The seven linears are the ones that compression makes ternary.
enum class TensorRole { kEmbedding, kHead, kNorm, kAttentionLinear, kAttentionBias, kMlpLinear };

struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  TensorRole role;
  int layer;  // -1: not in a layer
};

/// Whether the tensor is one of the seven linears of a layer.
bool IsLinear(const TensorSpec& spec);
/// Whether it is a norm or a bias: stored in full precision, never decayed.
bool IsVector(const TensorSpec& spec);

/// Every tensor that a model of this shape has, in the order of the forward pass. Linears are [out, in].
std::vector<TensorSpec> ListTensors(const ModelConfig& config);

/// Throws Error(kInput) naming every tensor that is missing, unexpected or of the wrong shape.
void CheckTensorShapes(const ModelConfig& config,
                       const std::map<std::string, std::vector<std::int64_t>>& shapes,
                       const std::string& source);

/// The same for weights in memory, which must also be finite.
void CheckWeights(const ModelConfig& config, const ModelWeights& weights, const std::string& source);

}  // namespace forge::model
