// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "merge/linear.h"

namespace forge::merge {

/// DARE (Yu et al. 2024, arXiv:2311.03099, section 3): drops each change with probability `drop` and divides
/// the others by 1 - drop, which keeps every change's expectation; then sums them with `weights`.
///   deltas [models][n]; weights [models]; drop in [0, 1); merged [n]
/// The drawing is keyed by (seed, tensor name, model), so it does not depend on order or threads.
void Dare(const Deltas& deltas, std::span<const double> weights, double drop, std::uint64_t seed,
          std::string_view tensor, std::span<float> merged);

}  // namespace forge::merge
