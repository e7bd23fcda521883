// SPDX-License-Identifier: Apache-2.0
#include "merge/slerp.h"

#include <cmath>

#include "base/check.h"

namespace forge::merge {

void Slerp(std::span<const float> a, std::span<const float> b, double t, std::span<float> out) {
  FORGE_CHECK(a.size() == b.size() && a.size() == out.size());
  double dot = 0, norm_a = 0, norm_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    norm_a += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    norm_b += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  const double norms = std::sqrt(norm_a * norm_b);
  const double cosine = norms > 0 ? dot / norms : 1.0;
  double weight_a = 1 - t, weight_b = t;
  if (std::abs(cosine) < kCollinearCosine) {
    const double theta = std::acos(cosine);
    weight_a = std::sin((1 - t) * theta) / std::sin(theta);
    weight_b = std::sin(t * theta) / std::sin(theta);
  }
  for (std::size_t i = 0; i < a.size(); ++i)
    out[i] = static_cast<float>(weight_a * static_cast<double>(a[i]) + weight_b * static_cast<double>(b[i]));
}

}  // namespace forge::merge
