// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/linear.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {

void Linear(const Operands& operands, std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  float total = 0;
  for (std::size_t source = 0; source < operands.inputs.size(); ++source) {
    const auto weight = static_cast<float>(operands.Get("weight", source));
    total += weight;
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = std::fma(operands.inputs[source][i], weight, out[i]);
  }
  const float divisor = operands.Get("normalize") != 0 ? total : 1.0f;
  for (float& value : out) value = operands.round(value / divisor);
}

void Passthrough(const Operands& operands, std::span<float> out) {
  const auto scale = static_cast<float>(operands.Get("scale", 0));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = operands.round(operands.inputs[0][i] * scale);
}

}  // namespace forge::merge::mergekit
