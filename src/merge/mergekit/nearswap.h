// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// Interpolates each element from the base to the one other model by t / |difference|, at most 1: a
/// difference up to t is taken in full, larger ones by t. Differences count as at least 1e-6. t below 0 gives
/// the base.
void Nearswap(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
