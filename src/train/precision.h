// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace forge::train {

/// What the matrix products of a training are computed in. Weights, sums, norms and the optimizer are float32
/// in both.
enum class Precision { kFloat32, kBFloat16 };

/// Of "f32", "bf16" or "auto": bf16 on a processor that multiplies bfloat16 (avx512bf16), float32 elsewhere.
Precision ChoosePrecision(const std::string& word, const std::string& device);

}  // namespace forge::train
