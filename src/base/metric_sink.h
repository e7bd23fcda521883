// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace forge {

/// Where a long job reports to; the layers below the run store know only this. Calls come from one thread.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  /// One number of a series, e.g. ("train/loss", 120, 1.83). Non-finite values are allowed and kept.
  virtual void Metric(std::string_view name, std::int64_t step, double value) = 0;
  /// `done` of `total` units ("steps", "candidates") of the running stage are finished.
  virtual void Progress(std::string_view stage, std::int64_t done, std::int64_t total,
                        std::string_view unit) = 0;
  /// One line for the log, without a newline.
  virtual void Log(std::string_view line) = 0;
};

/// Drops everything; for tests and for callers that do not care.
class NullMetricSink : public MetricSink {
 public:
  void Metric(std::string_view, std::int64_t, double) override {}
  void Progress(std::string_view, std::int64_t, std::int64_t, std::string_view) override {}
  void Log(std::string_view) override {}
};

}  // namespace forge
