// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// Arcee Fusion (mergekit): takes the other model's value where it matters, else the base's. The importance
/// of an element is |difference| times the Kullback-Leibler divergence of its row, softmax(other) from
/// softmax(base); it matters from median + 1.5 * (third - first quartile) of the tensor on, quartiles without
/// interpolation. The result is float32 for any work type, as the mask is. mergekit takes the quartiles of a
/// random million of the elements where there are more, with other draws each time; here all of them count.
///
/// For rows that are close the divergence is a difference of nearly equal sums: in float32 a few elements
/// whose importance is at the threshold come out otherwise than with torch, whose exponential and sums round
/// in another order. Each is then the base's or the other's value all the same.
void ArceeFusion(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
