// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "evolve/search_algorithm.h"

namespace forge::evolve {

/// Standard functions of the literature, to be low; searches are told their negative.
using Function = std::function<double(std::span<const double>)>;

inline double Sphere(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return sum;
}

/// Condition number 1e6.
inline double Ellipsoid(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    sum += std::pow(1e6, x.size() == 1 ? 0 : static_cast<double>(i) / static_cast<double>(x.size() - 1)) *
           x[i] * x[i];
  return sum;
}

inline double Rosenbrock(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i)
    sum += 100 * std::pow(x[i + 1] - x[i] * x[i], 2) + std::pow(1 - x[i], 2);
  return sum;
}

inline double Rastrigin(std::span<const double> x) {
  double sum = 10 * static_cast<double>(x.size());
  for (const double value : x) sum += value * value - 10 * std::cos(2 * std::numbers::pi * value);
  return sum;
}

/// Condition number 100, axes turned against those of the box by a chain of plane rotations (fixed, arbitrary
/// angles), and its optimum at (1, 8, 1, 8, ..).
inline double TurnedEllipsoid(std::span<const double> x) {
  const std::size_t n = x.size();
  std::vector<double> y(n);
  for (std::size_t i = 0; i < n; ++i) y[i] = x[i] - (i % 2 == 0 ? 1 : 8);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) {
      const double angle = 0.7 * static_cast<double>(i + 1) + 1.3 * static_cast<double>(j);
      const double c = std::cos(angle), s = std::sin(angle), u = y[i], v = y[j];
      y[i] = c * u - s * v;
      y[j] = s * u + c * v;
    }
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    sum += std::pow(100, static_cast<double>(i) / static_cast<double>(n - 1)) * y[i] * y[i];
  return sum;
}

/// ZDT1 and ZDT2 (Zitzler, Deb and Thiele 2000) over [0, 1]^n, negated: both objectives to be high.
inline Outcome Zdt(std::span<const double> x, bool second) {
  double g = 0;
  for (std::size_t i = 1; i < x.size(); ++i) g += x[i];
  g = 1 + 9 * g / static_cast<double>(x.size() - 1);
  const double ratio = x[0] / g;
  return {.objectives = {-x[0], -g * (1 - (second ? ratio * ratio : std::sqrt(ratio)))}};
}
// Area between the whole front of ZDT1 (f2 = 1 - sqrt(f1)) or ZDT2 (f2 = 1 - f1^2) and the reference
// (1.1, 1.1): integral of 1.1 - f2 over f1 in [0, 1], and 0.1 * 1.1 beyond.
inline constexpr double kZdt1Area = 0.1 + 2.0 / 3 + 0.11, kZdt2Area = 0.1 + 1.0 / 3 + 0.11;

inline Box Cube(std::size_t dimensions, double low, double high) {
  Box box;
  for (std::size_t i = 0; i < dimensions; ++i) box.dimensions.push_back({"x" + std::to_string(i), low, high});
  return box;
}

inline Outcome Low(double value) { return {.objectives = {-value}}; }

/// Asks and tells in turn.
inline void RunInTurn(SearchAlgorithm& search, const Function& function, int evaluations) {
  for (int i = 0; i < evaluations; ++i) {
    const Proposal proposal = search.Ask();
    search.Tell(proposal.id, Low(function(proposal.point)));
  }
}

/// As `workers` workers would, each job taking a random time: results come late and out of order.
inline void RunWithWorkers(SearchAlgorithm& search, const Function& function, int evaluations, int workers,
                           std::uint64_t seed) {
  std::multimap<double, Proposal> running;  // by the time at which they end
  double now = 0;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(evaluations); ++i) {
    while (static_cast<int>(running.size()) < workers) {
      const std::uint64_t job = search.num_asked();
      running.emplace(now + 0.5 + Random(seed, "testing/duration", job).Uniform(), search.Ask());
    }
    const auto first = running.begin();
    now = first->first;
    search.Tell(first->second.id, Low(function(first->second.point)));
    running.erase(first);
  }
}

/// Evaluations until one gave at most `target`; `limit` if none did.
inline int EvaluationsUntil(SearchAlgorithm& search, const Function& function, double target, int limit,
                            int workers = 1, std::uint64_t seed = 1) {
  struct Reached {};
  int count = 0;
  try {
    RunWithWorkers(
        search,
        [&](std::span<const double> point) {
          const double value = function(point);
          ++count;
          if (value <= target) throw Reached();
          return value;
        },
        limit, workers, seed);
  } catch (const Reached&) {
  }
  return count;
}

inline double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median over seeds 1 .. `seeds` of what `measure` gives for a seed.
inline double MedianOverSeeds(int seeds, const std::function<double(std::uint64_t)>& measure) {
  std::vector<double> values;
  for (int seed = 1; seed <= seeds; ++seed) values.push_back(measure(static_cast<std::uint64_t>(seed)));
  return MedianOf(std::move(values));
}

}  // namespace forge::evolve
