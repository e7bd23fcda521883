// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serve/scheduler.h"

namespace forge::serve {

/// Counts by upper bound, as a Prometheus histogram.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void Observe(double value);
  /// Its lines, with HELP and TYPE.
  std::string Text(const std::string& name, const std::string& help) const;

 private:
  std::vector<double> bounds_;         // ascending; infinity is not among them
  std::vector<std::uint64_t> counts_;  // by bucket, the last above all bounds
  double sum_ = 0;
};

/// What /metrics shows. May be used from several threads.
class Metrics {
 public:
  Metrics();
  void CountRequest(const std::string& path, int status);
  void ObserveFirstToken(double seconds);
  void ObserveAnswer(double seconds);
  /// Mean of the answers so far; 1 before the first.
  double MeanAnswerSeconds() const;
  /// The text exposition format 0.0.4 of Prometheus.
  std::string Text(const Scheduler::State& state, std::size_t key_value_limit,
                   std::size_t weight_bytes) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> requests_;
  Histogram first_token_, answer_;
  double answer_seconds_ = 0;
  std::uint64_t answers_ = 0;
};

}  // namespace forge::serve
