// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/nearswap.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {

void Nearswap(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::span<const float> base = operands.base(), other = operands.inputs[operands.models()[0]];
  const auto t = static_cast<float>(operands.Get("t"));
  const float least = round(1e-6f);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float distance = AtLeast(round(std::abs(base[i] - other[i])), least);
    // A number divided by a tensor is two operations in torch: the reciprocal, and its multiple.
    const float part = std::clamp(round(round(1 / distance) * t), 0.0f, 1.0f);
    out[i] = round(round(part * other[i]) + round(round(1 - part) * base[i]));
  }
}

}  // namespace forge::merge::mergekit
