// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_restarts.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/philox.h"

namespace forge::evolve {
namespace {

constexpr double kMaxCondition = 1e14;

double Median(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

/// Whether the last 30 % of the values are no better (higher) in the median than the first 30 %.
bool NoBetter(std::span<const double> window) {
  const std::size_t share = std::max<std::size_t>(1, window.size() * 3 / 10);
  return Median(window.last(share)) <= Median(window.first(share));
}

}  // namespace

CmaStopRule::CmaStopRule(int dimension, int population_size, double objective_tolerance, double least_reach)
    : objective_tolerance_(objective_tolerance),
      least_reach_(least_reach),
      flat_window_(10 + static_cast<std::size_t>(std::ceil(30.0 * dimension / population_size))),
      stagnation_window_(flat_window_ + 110) {}

void CmaStopRule::Observe(const std::vector<double>& objectives) {
  if (objectives.empty()) return;
  best_.push_back(objectives.front());
  median_.push_back(Median(objectives));
  last_worst_ = objectives.back();
}

bool CmaStopRule::ShouldStop(double reach, double condition_number) const {
  return reach < least_reach_ || !(condition_number <= kMaxCondition) || IsFlat() || HasStagnated();
}

bool CmaStopRule::IsFlat() const {
  if (best_.size() < flat_window_) return false;
  const auto [low, high] =
      std::minmax_element(best_.end() - static_cast<std::ptrdiff_t>(flat_window_), best_.end());
  return *high - std::min(*low, last_worst_) < objective_tolerance_;
}

bool CmaStopRule::HasStagnated() const {
  const std::size_t window = std::max(stagnation_window_, best_.size() / 5);
  if (best_.size() < window) return false;
  return NoBetter(std::span(best_).last(window)) && NoBetter(std::span(median_).last(window));
}

CmaRestarts::CmaRestarts(std::string kind, int max_restarts, CmaRun first, std::uint64_t seed)
    : kind_(std::move(kind)),
      max_restarts_(max_restarts),
      first_(first),
      current_(first),
      seed_(seed),
      large_population_(first.population_size) {}

void CmaRestarts::Next(std::uint64_t results) {
  ++count_;
  if (is_small_) {
    small_results_ += results;
  } else {
    // The first run belongs to neither regime.
    if (count_ > 1) large_results_ += results;
    last_large_results_ = results;
  }
  is_small_ = kind_ == "bipop" && count_ > 1 && small_results_ < large_results_;
  if (!is_small_) {
    large_population_ *= 2;
    current_ = {.population_size = large_population_, .step_size = first_.step_size};
    return;
  }
  Random random(seed_, "evolve/cma-es/restart-size", static_cast<std::uint64_t>(count_));
  const double u = random.Uniform();
  const double growth = std::pow(0.5 * large_population_ / first_.population_size, u * u);
  current_ = {
      .population_size = std::max(first_.population_size, static_cast<int>(first_.population_size * growth)),
      .step_size = first_.step_size * std::pow(10.0, -2 * random.Uniform()),
      .max_results = std::max<std::uint64_t>(1, last_large_results_ / 2)};
}

}  // namespace forge::evolve
