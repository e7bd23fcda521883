// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "track/store.h"

namespace forge::pipeline {

/// What every stage of a run works in.
struct RunContext {
  track::Store* store = nullptr;
  std::string run;               // id
  std::filesystem::path folder;  // <output-dir>/<run-id>
  std::string device = "cpu";
  std::uint64_t seed = 1;
  MetricSink* terminal = nullptr;
  const StopToken* stop = nullptr;
  int workers = 0;  // processes that the search starts for its evaluations; 0: none, it does them
  bool external_workers = false;  // others may join
};

}  // namespace forge::pipeline
