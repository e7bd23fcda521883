// SPDX-License-Identifier: Apache-2.0
#include "track/store_metric_sink.h"

namespace forge::track {

void StoreMetricSink::Metric(std::string_view name, std::int64_t step, double value) {
  store_.Metric(run_, stage_, name, step, value);
  if (forward_) forward_->Metric(name, step, value);
}

void StoreMetricSink::Progress(std::string_view stage, std::int64_t done, std::int64_t total,
                               std::string_view unit) {
  store_.Progress(run_, stage_, done, total, unit, stage == stage_ ? std::string_view() : stage);
  if (forward_) forward_->Progress(stage, done, total, unit);
}

void StoreMetricSink::Log(std::string_view line) {
  store_.AddEvent(run_, "log", stage_, {{"line", std::string(line)}});
  if (forward_) forward_->Log(line);
}

}  // namespace forge::track
