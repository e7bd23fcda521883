// SPDX-License-Identifier: Apache-2.0
#include "evolve/variation.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "evolve/box.h"

namespace forge::evolve {
namespace {

/// Spread factor beta_q of a child between two parents, on the side where the border is `room` gaps away.
double SpreadFactor(double uniform, double room, double index) {
  const double alpha = 2 - std::pow(1 + 2 * room, -(index + 1));
  return uniform <= 1 / alpha ? std::pow(uniform * alpha, 1 / (index + 1))
                              : std::pow(1 / (2 - uniform * alpha), 1 / (index + 1));
}

/// Change of `value`, in (-1, 1).
double PolynomialChange(double value, double uniform, double index) {
  const double power = 1 / (index + 1);
  if (uniform < 0.5)
    return std::pow(2 * uniform + (1 - 2 * uniform) * std::pow(1 - value, index + 1), power) - 1;
  return 1 - std::pow(2 * (1 - uniform) + (2 * uniform - 1) * std::pow(value, index + 1), power);
}

}  // namespace

std::vector<double> SimulatedBinaryCrossover(const std::vector<double>& a, const std::vector<double>& b,
                                             double distribution_index, Random& random) {
  FORGE_CHECK(a.size() == b.size());
  const bool first = random.Uniform() < 0.5;
  std::vector<double> child = first ? a : b;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool is_crossed = random.Uniform() < 0.5, takes_low = random.Uniform() < 0.5;
    const double uniform = random.Uniform();
    const double low = std::min(a[i], b[i]), high = std::max(a[i], b[i]), gap = high - low;
    if (!is_crossed || gap < 1e-14) continue;
    const double room = (takes_low ? low : 1 - high) / gap;
    const double spread = SpreadFactor(uniform, room, distribution_index) * gap;
    child[i] = std::clamp(0.5 * (takes_low ? low + high - spread : low + high + spread), 0.0, 1.0);
  }
  return child;
}

void PolynomialMutation(std::vector<double>& point, double distribution_index, double rate, Random& random) {
  const std::uint32_t always = random.Below(static_cast<std::uint32_t>(point.size()));
  for (std::size_t i = 0; i < point.size(); ++i) {
    const bool is_changed = random.Uniform() < rate;
    double uniform = random.Uniform();
    if (point[i] <= 0) uniform = 0.5 + 0.5 * uniform;  // on the border there is one way to go
    if (point[i] >= 1) uniform = 0.5 * uniform;
    if (!is_changed && (i != always || rate == 0)) continue;
    point[i] = std::clamp(point[i] + PolynomialChange(point[i], uniform, distribution_index), 0.0, 1.0);
  }
}

std::vector<double> IsoLine(const std::vector<double>& a, const std::vector<double>& b, double iso_deviation,
                            double line_deviation, Random& random) {
  FORGE_CHECK(a.size() == b.size());
  const double along = line_deviation * random.Normal();
  std::vector<double> child(a.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    child[i] = ReflectIntoUnit(a[i] + iso_deviation * random.Normal() + along * (b[i] - a[i]));
  return child;
}

}  // namespace forge::evolve
