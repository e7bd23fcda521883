// SPDX-License-Identifier: Apache-2.0
#include "merge/ties.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace forge::merge {

std::vector<float> TrimByMagnitude(std::span<const float> values, double density) {
  FORGE_CHECK(density > 0 && density <= 1);
  std::vector<float> kept(values.begin(), values.end());
  const auto keep = std::max<std::size_t>(
      1, static_cast<std::size_t>(std::llround(density * static_cast<double>(values.size()))));
  if (keep >= values.size()) return kept;
  std::vector<float> magnitudes(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) magnitudes[i] = std::abs(values[i]);
  std::nth_element(magnitudes.begin(), magnitudes.begin() + static_cast<std::ptrdiff_t>(keep - 1),
                   magnitudes.end(), std::greater<>());
  const float border = magnitudes[keep - 1];
  std::size_t above = 0;
  for (const float value : values) above += std::abs(value) > border;
  std::size_t at_border = keep - above;  // places left for magnitudes equal to the border
  for (float& value : kept) {
    if (std::abs(value) > border) continue;
    if (std::abs(value) == border && at_border > 0) {
      --at_border;
      continue;
    }
    value = 0;
  }
  return kept;
}

void Ties(const Deltas& deltas, std::span<const double> weights, double density, std::span<float> merged) {
  FORGE_CHECK(deltas.size() == weights.size());
  std::vector<std::vector<float>> trimmed;
  for (const std::span<const float> delta : deltas) {
    FORGE_CHECK(delta.size() == merged.size());
    trimmed.push_back(TrimByMagnitude(delta, density));
  }
  for (std::size_t i = 0; i < merged.size(); ++i) {
    double total = 0;
    for (std::size_t m = 0; m < trimmed.size(); ++m) total += weights[m] * static_cast<double>(trimmed[m][i]);
    double sum = 0, agreeing = 0;
    for (std::size_t m = 0; m < trimmed.size(); ++m) {
      const double value = static_cast<double>(trimmed[m][i]);
      if (value * total <= 0) continue;  // zeros and the other sign
      sum += weights[m] * value;
      agreeing += weights[m];
    }
    merged[i] = agreeing > 0 ? static_cast<float>(sum / agreeing) : 0.0f;
  }
}

}  // namespace forge::merge
