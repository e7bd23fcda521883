// SPDX-License-Identifier: Apache-2.0
#include "evolve/racing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evolve/search_algorithm.h"

namespace forge::evolve {
namespace {

/// I_x(a, b) of the incomplete beta function for x < (a + 1) / (a + b + 2), where the fraction converges fast
/// (evaluated by Lentz's method).
double IncompleteBetaFraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int m = 1; m < 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1;
    for (const double term : {even, odd}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      change *= d * c;
    }
    fraction *= change;
    if (std::abs(change - 1) < 1e-15) break;
  }
  return std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) +
                  b * std::log1p(-x)) *
         fraction / a;
}

double IncompleteBeta(double x, double a, double b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  return x < (a + 1) / (a + b + 2) ? IncompleteBetaFraction(x, a, b)
                                   : 1 - IncompleteBetaFraction(1 - x, b, a);
}

/// Whether scores `a` are better than `b` in the mean, at error probability `level`.
bool IsSurelyBetter(const std::vector<double>& a, const std::vector<double>& b, double level,
                    const RaceConfig& config) {
  const auto n = static_cast<double>(a.size());
  double mean = 0, squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) mean += (a[i] - b[i]) / n;
  if (!(mean > 0)) return false;
  for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(a[i] - b[i] - mean, 2);
  const double variance = squares / (n - 1);
  if (config.test == "paired_t")
    return variance == 0 || StudentUpperTail(mean / std::sqrt(variance / n), n - 1) < level;
  const double log_term = std::log(2 / level);
  return mean >
         std::sqrt(2 * variance * log_term / n) + 7 * 2 * config.score_range * log_term / (3 * (n - 1));
}

}  // namespace

double StudentUpperTail(double t, double degrees) {
  const double tail = 0.5 * IncompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
  return t >= 0 ? tail : 1 - tail;
}

std::vector<std::size_t> SurvivorsOfRace(const std::vector<std::vector<double>>& scores, std::size_t num_kept,
                                         int look, const RaceConfig& config) {
  ThrowIfOutOfRange("a race", Problems(config));
  for (std::size_t i = 1; i < scores.size(); ++i)
    if (scores[i].size() != scores[0].size())
      throw Error({.what = "cannot race these candidates",
                   .why = fmt::format("candidate {} has {} items; the first has {}", i, scores[i].size(),
                                      scores[0].size()),
                   .fix = "compare candidates on the items that all of them have"});
  const bool is_early = scores.empty() || scores[0].size() < static_cast<std::size_t>(config.least_items);
  const double level =
      config.error_rate / (static_cast<double>(look) * (look + 1)) / std::max(1.0, scores.size() - 1.0);
  std::vector<std::size_t> survivors;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::size_t num_better = 0;
    for (std::size_t j = 0; !is_early && j < scores.size(); ++j)
      num_better += j != i && IsSurelyBetter(scores[j], scores[i], level, config);
    if (num_better < num_kept) survivors.push_back(i);
  }
  return survivors;
}

}  // namespace forge::evolve
