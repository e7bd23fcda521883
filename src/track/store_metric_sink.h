// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/metric_sink.h"
#include "track/store.h"

namespace forge::track {

/// Writes what a stage reports to the store and hands it on to another sink (the terminal).
/// The stage must have been begun; the name a job gives to Progress is kept as the stage's activity.
class StoreMetricSink : public MetricSink {
 public:
  /// `forward` may be null. Store and forward must outlive the sink.
  StoreMetricSink(Store& store, std::string run, std::string stage, MetricSink* forward)
      : store_(store), run_(std::move(run)), stage_(std::move(stage)), forward_(forward) {}

  void Metric(std::string_view name, std::int64_t step, double value) override;
  void Progress(std::string_view stage, std::int64_t done, std::int64_t total,
                std::string_view unit) override;
  void Log(std::string_view line) override;

 private:
  Store& store_;
  std::string run_, stage_;
  MetricSink* forward_;
};

}  // namespace forge::track
