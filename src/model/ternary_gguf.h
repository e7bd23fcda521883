// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "model/gguf_model.h"
#include "model/model_weights.h"

namespace forge::model {

/// A model whose linears are (partly) ternary: what the runtime packs.
struct TernaryModel {
  ModelConfig config;
  ModelWeights weights;  // every tensor that is not in `ternary`
  TernaryWeights ternary;
};

/// Reads any GGUF file that LoadGguf reads, but keeps the codes of linears stored as Q2_0 (groups of 64),
/// TQ1_0 or TQ2_0 (groups of 256), in Hugging Face's row order. The values are those of LoadGguf to the bit.
/// Linears that the runtime runs as one (q, k, v; gate, up) are ternary only together. Throws Error(kInput)
/// for a group that is not ternary (Q2_0 and TQ2_0 can also hold 2 scales).
TernaryModel LoadTernaryGguf(const std::filesystem::path& path);

}  // namespace forge::model
