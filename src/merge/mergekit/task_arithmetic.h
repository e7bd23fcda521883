// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/sparsify.h"

namespace forge::merge::mergekit {

/// Generalised task arithmetic (Ilharco et al. 2023, arXiv:2212.04089; TIES: Yadav et al. 2023,
/// arXiv:2306.01708): base + lambda * sum_m w_m S(x_m - base), S being the sparsifier.
///
/// With `elect_signs` an element counts only changes whose sign is that of the sum of the weighted changes;
/// a sum of exactly 0 is positive, a change of 0 has no sign. The paper's election has no weights and its
/// mean is plain. With `normalize` the sum is divided by the weights that took part (per element with
/// `elect_signs`), where these do not sum to zero (without `elect_signs`: to less than 1e-8). Weights may be
/// negative: such a model votes against its own change, and the divisor may come close to zero.
/// The base alone is returned as it is. Throws as Sparsify does.
void TaskArithmetic(const Operands& operands, Sparsifier sparsifier, bool elect_signs, std::span<float> out);

}  // namespace forge::merge::mergekit
