// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/linear.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {

void Linear(const TensorMerge& merge, std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  float total = 0;
  for (std::size_t source = 0; source < merge.inputs.size(); ++source) {
    const auto weight = static_cast<float>(merge.Get("weight", source));
    total += weight;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::fma(merge.inputs[source][i], weight, out[i]);
  }
  const float divisor = merge.Get("normalize") != 0 ? total : 1.0f;
  for (float& value : out) value = merge.round(value / divisor);
}

void Passthrough(const TensorMerge& merge, std::span<float> out) {
  const auto scale = static_cast<float>(merge.Get("scale", 0));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = merge.round(merge.inputs[0][i] * scale);
}

}  // namespace forge::merge::mergekit
