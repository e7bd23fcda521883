// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace forge::evolve {

/// When a run of CMA-ES ends: Hansen 2009 (doi:10.1145/1570256.1570333), section 2.1, on objectives that are
/// to be high. Not taken from there: criteria that only name numerical trouble, which ConditionNumber covers.
class CmaStopRule {
 public:
  CmaStopRule(int dimension, int population_size, double objective_tolerance, double least_reach);

  /// Call once a generation with its successful objectives, best first (may be empty).
  void Observe(const std::vector<double>& objectives);

  /// - the best of each of the last 10 + 30 n / lambda generations, and all results of the last one, lie
  /// within
  ///   objective_tolerance;
  /// - reach < least_reach;  - condition number of C > 1e14;
  /// - stagnation: over the last 120 + 30 n / lambda generations (at least; 20 % of all), neither the median
  ///   of best nor that of median results is better in the last 30 % than in the first 30 %.
  bool ShouldStop(double reach, double condition_number) const;

 private:
  bool IsFlat() const;
  bool HasStagnated() const;

  double objective_tolerance_, least_reach_;
  std::size_t flat_window_, stagnation_window_;
  std::vector<double> best_, median_;  // by generation
  double last_worst_ = 0;
};

/// Population size and step size of one run, and the results it may take.
struct CmaRun {
  int population_size;
  double step_size;
  std::uint64_t max_results = std::numeric_limits<std::uint64_t>::max();
};

/// What run follows what. ipop: the population doubles at each restart (Auger and Hansen 2005,
/// doi:10.1109/CEC.2005.1554902). bipop: beside that, runs with a small population and step,
///   lambda = lambda_0 (lambda_large / (2 lambda_0))^(u^2),  sigma = sigma_0 10^(-2 u'),  u, u' ~ U[0, 1],
/// whenever those have used fewer results in total than the large ones; a small run takes at most half of
/// what the last large one took (Hansen 2009). none: one run.
class CmaRestarts {
 public:
  CmaRestarts(std::string kind, int max_restarts, CmaRun first, std::uint64_t seed);

  const CmaRun& current() const { return current_; }
  int count() const { return count_; }
  bool HasNext() const { return kind_ != "none" && count_ < max_restarts_; }
  /// Ends the current run, which took `results`.
  void Next(std::uint64_t results);

 private:
  std::string kind_;
  int max_restarts_;
  CmaRun first_, current_;
  std::uint64_t seed_;
  int count_ = 0, large_population_;
  bool is_small_ = false;
  std::uint64_t large_results_ = 0, small_results_ = 0, last_large_results_ = 0;
};

}  // namespace forge::evolve
