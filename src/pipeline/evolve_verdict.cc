// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_verdict.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace forge::pipeline {
namespace {

constexpr double kLevel = 0.025;  // one-sided

}  // namespace

double GainPValue(const std::vector<std::vector<double>>& parent,
                  const std::vector<std::vector<double>>& ours) {
  FORGE_CHECK(!ours.empty() && parent.size() == ours.size());
  double mean = 0, variance = 0;
  std::size_t items = 0;
  const auto domains = static_cast<double>(ours.size());
  for (std::size_t d = 0; d < ours.size(); ++d) {
    FORGE_CHECK(!ours[d].empty() && parent[d].size() == ours[d].size());
    const auto n = static_cast<double>(ours[d].size());
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < ours[d].size(); ++i) {
      const double difference = ours[d][i] - parent[d][i];
      sum += difference;
      squares += difference * difference;
    }
    mean += sum / n / domains;
    variance += std::max(0.0, squares / n - sum / n * (sum / n)) / n / (domains * domains);
    items += ours[d].size();
  }
  if (mean <= 0) return 1;
  const double normal = variance > 0 ? 0.5 * std::erfc(mean / std::sqrt(variance) / std::numbers::sqrt2) : 0;
  return std::max(normal, std::exp2(-static_cast<double>(items)));
}

bool IsGain(const std::vector<std::vector<double>>& parent, const std::vector<std::vector<double>>& ours,
            int compared) {
  return GainPValue(parent, ours) < kLevel / std::max(compared, 1);
}

}  // namespace forge::pipeline
