// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "merge/mergekit/operands.h"

/// RAM: adding up what was changed by reinforcement learning without thinning it out by averaging.
namespace forge::merge::mergekit {

/// base + the change where one model has one, or the mean of the changes where several have. A change is one
/// whose magnitude is above `epsilon`, which is rounded to the work type first.
void Ram(const Operands& operands, std::span<float> out);

/// The same, each model's own changes times 1 + r * min(shared / own, alpha), counted over the tensor; `own`
/// counts as at least epsilon. The result is float32 for any work type, since the factor is and all that
/// follows it.
void RamPlus(const Operands& operands, std::span<float> out);

}  // namespace forge::merge::mergekit
