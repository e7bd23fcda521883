// SPDX-License-Identifier: Apache-2.0
#include "merge/dare.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/philox.h"

namespace forge::merge {

void Dare(const Deltas& deltas, std::span<const double> weights, double drop, std::uint64_t seed,
          std::string_view tensor, std::span<float> merged) {
  FORGE_CHECK(deltas.size() == weights.size() && drop >= 0 && drop < 1);
  std::fill(merged.begin(), merged.end(), 0.0f);
  const auto threshold = static_cast<std::uint32_t>(std::min(drop * 0x1p32, 0x1p32 - 1));
  for (std::size_t m = 0; m < deltas.size(); ++m) {
    FORGE_CHECK(deltas[m].size() == merged.size());
    const auto factor = static_cast<float>(weights[m] / (1 - drop));
    if (factor == 0) continue;
    Random random(seed ^ StableHash(tensor), "merge/dare", m);
    for (std::size_t i = 0; i < merged.size(); ++i)
      if (random.NextUint32() >= threshold) merged[i] += factor * deltas[m][i];
  }
}

}  // namespace forge::merge
