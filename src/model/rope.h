// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/model_config.h"

namespace forge::model {

/// Rotary positions (Su et al. 2021, arXiv:2104.09864): the angle by which pair i of a head turns for each
/// position, rope_theta^(-2 i / head_dim), after the scaling of the config.
///
///   returns  [head_dim / 2]  radians per position, falling; pair i is elements i and i + head_dim / 2
///
///   linear (Chen et al. 2023, arXiv:2306.15595): every angle is divided by `factor`.
///   llama3 (Llama 3.1 to 3.3): with rotations r = original_max_position_embeddings * angle / 2 pi inside the
///     original context, pairs with r > high_freq_factor keep their angle, pairs with r < low_freq_factor
///     have it divided by `factor`, and between them the share s = (r - low) / (high - low) blends:
///     angle * (s + (1 - s) / factor).
///
/// Computed in double; transformers rounds the same to float32 on the way (differences of 1e-7).
std::vector<double> RopeFrequencies(const ModelConfig& config);

/// What llama3 scaling divides each angle by, [head_dim / 2], the tensor rope_freqs.weight of GGUF. All 1 for
/// other scalings.
std::vector<double> RopeDivisors(const ModelConfig& config);

/// The llama3 scaling that gives these divisors (to 1e-5) for this head_dim and rope_theta; nothing if none
/// does. Only the ratios of low_freq_factor, high_freq_factor and original_max_position_embeddings follow
/// from divisors, so the constants of all Llama 3 releases (1, 4 and 8192) are taken for them.
std::optional<RopeScaling> Llama3ScalingOf(std::span<const float> divisors, const ModelConfig& config);

}  // namespace forge::model
