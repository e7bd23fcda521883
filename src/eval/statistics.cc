// SPDX-License-Identifier: Apache-2.0
#include "eval/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/philox.h"

namespace forge::eval {
namespace {

double LogBinomial(int n, int k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

double HalfBinomial(int n, int k) { return std::exp(LogBinomial(n, k) - n * std::log(2)); }

Interval Percentiles(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double position = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const double rest = position - static_cast<double>(below);
    return rest == 0 ? values[below] : values[below] * (1 - rest) + values[below + 1] * rest;
  };
  return {at(0.025), at(0.975)};
}

}  // namespace

Interval WilsonInterval(int successes, int n) {
  if (n == 0) return {0, 1};
  constexpr double z = 1.959963984540054;
  const double p = static_cast<double>(successes) / n, z2 = z * z / n;
  const double center = (p + z2 / 2) / (1 + z2);
  const double half = z * std::sqrt(p * (1 - p) / n + z2 / (4.0 * n)) / (1 + z2);
  return {std::max(0.0, center - half), std::min(1.0, center + half)};
}

PairedCounts CountPairs(const std::vector<bool>& first, const std::vector<bool>& second) {
  FORGE_CHECK(first.size() == second.size());
  PairedCounts counts;
  for (std::size_t i = 0; i < first.size(); ++i) {
    counts.won += !first[i] && second[i];
    counts.lost += first[i] && !second[i];
  }
  return counts;
}

double McNemarExact(PairedCounts counts) {
  const int n = counts.won + counts.lost, least = std::min(counts.won, counts.lost);
  if (n == 0) return 1;
  double tail = 0;
  for (int k = 0; k <= least; ++k) tail += HalfBinomial(n, k);
  return std::min(1.0, 2 * tail);
}

double McNemarMidP(PairedCounts counts) {
  const int n = counts.won + counts.lost, least = std::min(counts.won, counts.lost);
  if (n == 0) return 1;
  double tail = 0;
  for (int k = 0; k < least; ++k) tail += HalfBinomial(n, k);
  return std::min(1.0, 2 * (tail + HalfBinomial(n, least) / 2));
}

double McNemarEValue(PairedCounts counts) {
  // Substituting t = (1 + s) / 2: the integral over s in [0, 1] of (1 + s)^won (1 - s)^lost; Simpson's rule
  // on the exponent-shifted integrand.
  constexpr int kSteps = 20000;
  const auto log_value = [&](double s) {
    return counts.won * std::log1p(s) + (s < 1             ? counts.lost * std::log1p(-s)
                                         : counts.lost > 0 ? -1e300
                                                           : 0.0);
  };
  double peak = 0;
  for (int i = 0; i <= kSteps; ++i) peak = std::max(peak, log_value(static_cast<double>(i) / kSteps));
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i)
    sum += (i == 0 || i == kSteps ? 1
            : i % 2 == 1          ? 4
                                  : 2) *
           std::exp(log_value(static_cast<double>(i) / kSteps) - peak);
  return std::exp(peak + std::log(sum / (3.0 * kSteps)));
}

std::optional<Interval> Bootstrap(int items, std::uint64_t seed,
                                  const std::function<std::optional<double>(std::span<const int>)>& statistic,
                                  int draws) {
  if (items == 0) return std::nullopt;
  std::vector<double> values;
  std::vector<int> drawn(static_cast<std::size_t>(items));
  for (int draw = 0; draw < draws; ++draw) {
    Random random(seed, "eval/bootstrap", static_cast<std::uint64_t>(draw));
    for (int& index : drawn) index = static_cast<int>(random.Below(static_cast<std::uint32_t>(items)));
    if (const std::optional<double> value = statistic(drawn)) values.push_back(*value);
  }
  if (static_cast<double>(values.size()) < 0.99 * draws) return std::nullopt;
  return Percentiles(values);
}

Interval BootstrapMeanDifference(const std::vector<std::vector<double>>& first,
                                 const std::vector<std::vector<double>>& second, std::uint64_t seed,
                                 int draws) {
  FORGE_CHECK(first.size() == second.size() && !first.empty());
  std::vector<double> values;
  for (int draw = 0; draw < draws; ++draw) {
    Random random(seed, "eval/bootstrap_domains", static_cast<std::uint64_t>(draw));
    double total = 0;
    for (std::size_t d = 0; d < first.size(); ++d) {
      const std::size_t n = first[d].size();
      FORGE_CHECK(n == second[d].size() && n > 0);
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t index = random.Below(static_cast<std::uint32_t>(n));
        sum += second[d][index] - first[d][index];
      }
      total += sum / static_cast<double>(n);
    }
    values.push_back(total / static_cast<double>(first.size()));
  }
  return Percentiles(values);
}

}  // namespace forge::eval
