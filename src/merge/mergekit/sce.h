// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// SCE (Wan et al. 2024, arXiv:2408.07990): select, calculate, erase. Of the positions where the changes of
/// the models vary at all the `select_topk` part of the largest variance is kept; each model's coefficient is
/// its share of the mean squares of what is left; at each element the changes against the sign of their sum
/// are erased, and the others averaged by their coefficients. Mean squares that sum to less than 1e-6 give
/// equal coefficients, coefficients at an element that sum to less than 1e-6 count as 1e-6. One model has no
/// variance, so it keeps nothing unless select_topk is 1.
void Sce(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
