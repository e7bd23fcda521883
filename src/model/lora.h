// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "model/model_weights.h"
#include "model/weight_source.h"

namespace forge::model {

/// A LoRA adapter (Hu et al. 2021, arXiv:2106.09685): W' = W + scale * B A for some of the linears. Weights
/// that were trained as a whole beside it (modules_to_save) take the place of the base's.
struct LoraAdapter {
  struct Factors {
    Tensor a;          // [rank, in]
    Tensor b;          // [out, rank]
    double scale = 0;  // alpha / rank, or alpha / sqrt(rank) with use_rslora
  };
  int rank = 0;                            // of modules that rank_pattern does not name
  std::map<std::string, Factors> factors;  // by the name of the weight, "model.layers.0.mlp.up_proj.weight"
  std::map<std::string, Tensor> replaced;  // by the same names
};

/// Reads a folder of PEFT (0.21): adapter_config.json and adapter_model.safetensors.
///
/// rank_pattern and alpha_pattern are applied as PEFT does, to modules whose path ends in the key; a key that
/// is a regular expression is refused. Throws Error(kInput) for variants that are more than scale * B A
/// (DoRA, trained biases, starts that change the base, repeated layers), for factors that do not fit the
/// ranks or each other, for tensors that no setting explains, and for values that are not finite.
LoraAdapter ReadLoraAdapter(const std::filesystem::path& folder);

/// Writes such a folder, complete or not at all, as PEFT writes it: float32 factors, target_modules by the
/// last part of their names. All factors must have the adapter's rank and one scale, and nothing be replaced.
/// `base` is what the adapter belongs to, for people and for PEFT.
void SaveLoraAdapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                     const std::string& base);

/// Adds `strength` * scale * B A to the weights, rounded once per weight; replaced weights go `strength` of
/// the way. 1 is the adapter as it was trained. Throws Error(kInput) if a weight is missing or has another
/// shape, or if it replaces the embedding of a model that ties its head to it; then nothing was changed.
void AddLora(const LoraAdapter& adapter, double strength, ModelWeights& weights, const std::string& source);

/// The same, row by row, to the same bits. `source` names the adapter.
std::unique_ptr<WeightSource> AddLora(std::unique_ptr<WeightSource> base, LoraAdapter adapter,
                                      double strength, const std::string& source);

}  // namespace forge::model
