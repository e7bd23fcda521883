// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// Weighted mean (Wortsman et al. 2022, arXiv:2203.05482): sum_m w_m x_m, divided by sum_m w_m if
/// `normalize`. In float32 whatever the work type is, with fused multiply-adds in the order of the sources,
/// rounded once. Weights that sum to zero give infinities and NaN, as they do in mergekit.
void Linear(const Operands& operands, std::span<float> out);

/// The one source, times `scale`.
void Passthrough(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
