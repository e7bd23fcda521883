// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// Model Stock (Jang et al. 2024, arXiv:2403.19522, equation 7 for N models): t * mean + (1 - t) * base with
/// t = N c / (1 + (N - 1) c), c the mean cosine between the changes of each two of the N models; one c for
/// the tensor, or with `filter_wise` for each row (a vector is one row). The product of two lengths counts as
/// at least 1e-6, so changes shorter than 1e-3 shrink towards the base. Where |1 + (N - 1) c| < 1e-6: the
/// base. A negative c is not cut off: t can be far below 0. Cost: N^2 / 2 dot products.
void ModelStock(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
