// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "model/model_weights.h"

namespace forge::model {

/// A LoRA adapter (Hu et al. 2021, arXiv:2106.09685): W' = W + scale * B A for some of the linears.
struct LoraAdapter {
  struct Factors {
    Tensor a;  // [rank, in]
    Tensor b;  // [out, rank]
  };
  int rank = 0;
  double scale = 0;                        // alpha / rank, or alpha / sqrt(rank) with use_rslora
  std::map<std::string, Factors> factors;  // by the name of the weight, "model.layers.0.mlp.up_proj.weight"
};

/// Reads a folder of PEFT: adapter_config.json and adapter_model.safetensors. Throws Error(kInput) for
/// variants that are more than scale * B A (DoRA, trained biases, whole modules, ranks that differ), for
/// shapes that do not fit together and for values that are not finite.
LoraAdapter ReadLoraAdapter(const std::filesystem::path& folder);

/// Adds `strength` * scale * B A to the weights, rounded once per weight. 1 is the adapter as it was trained.
/// Throws Error(kInput) if a weight is missing or has another shape; then nothing was changed.
void AddLora(const LoraAdapter& adapter, double strength, ModelWeights& weights, const std::string& source);

}  // namespace forge::model
