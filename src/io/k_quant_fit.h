// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/k_quant_blocks.h"

namespace forge::io {

/// A block of small sum of h_i (x_i - value_i)^2.
///   values      [256], finite
///   importance  [256], h, finite and not negative; nullptr: all the same
///
/// Each group by itself first: steps around the one that reaches its largest value (and its largest important
/// value), codes to the nearest, then the exact least squares for these codes (of scale, or of scale and
/// least value). Then the block's d (and e) from the largest of them and a few sizes near it: integers for
/// each group by trying those next to the ideal ones with the nearest codes, and the exact least squares of d
/// and e for what was chosen, until nothing is gained; for Q2_K, whose integers are few, all of them at last.
/// Codes are the nearest for the numbers that are stored, so no other code is better.
/// d and e beyond binary16 are cut to 65504. Cost: 50 (Q4_K) to 500 ns (Q2_K) a value.
KQuantBlock FitKQuant(const KQuantFormat& format, const float* values, const float* importance);

}  // namespace forge::io
