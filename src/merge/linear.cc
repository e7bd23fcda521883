// SPDX-License-Identifier: Apache-2.0
#include "merge/linear.h"

#include <algorithm>

#include "base/check.h"

namespace forge::merge {

void Linear(const Deltas& deltas, std::span<const double> weights, std::span<float> merged) {
  FORGE_CHECK(deltas.size() == weights.size());
  std::fill(merged.begin(), merged.end(), 0.0f);
  for (std::size_t m = 0; m < deltas.size(); ++m) {
    FORGE_CHECK(deltas[m].size() == merged.size());
    const auto weight = static_cast<float>(weights[m]);
    if (weight == 0) continue;
    for (std::size_t i = 0; i < merged.size(); ++i) merged[i] += weight * deltas[m][i];
  }
}

}  // namespace forge::merge
