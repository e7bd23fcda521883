// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/weight_source.h"

namespace forge::model {

/// Names of the shapes of RandomTernaryWeights: "qwen2.5-1.5b", "bitnet-2b4t", "smollm2-135m".
std::vector<std::string> RandomShapes();

/// A model of the shape of a well-known one with random ternary linears, for measuring speed; it writes
/// nonsense. Codes are uniform in {-1, 0, 1}; groups of 256 share a scale where 256 divides the inputs, else
/// of 64. Scales keep the states of the layers near 1, embeddings are normal, norms 1, biases 0. bitnet-2b4t
/// is a Llama of the shape of BitNet b1.58 2B4T, without its extra norms and with silu. The same seed gives
/// the same weights. Throws Error(kUsage) for a name that is none of RandomShapes.
std::unique_ptr<WeightSource> RandomTernaryWeights(const std::string& shape, std::uint64_t seed);

}  // namespace forge::model
