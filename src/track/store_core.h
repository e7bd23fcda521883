// SPDX-License-Identifier: Apache-2.0
// Internals that the four sources of Store share.
#pragma once

#include "track/store.h"

namespace forge::track {

struct Store::PendingProgress {
  std::int64_t done = 0, total = 0;
  std::string unit, activity;
  bool changed = false;
  std::deque<std::pair<double, std::int64_t>> history;  // (time, done), for the rate
};

struct Store::Core {
  Core(std::filesystem::path file, Mode mode, Clock now)
      : database(std::move(file), mode), clock(std::move(now)) {}

  struct BufferedMetric {
    std::int64_t run;
    std::string stage, name;
    std::int64_t step;
    double value;
  };

  Database database;
  Clock clock;
  std::recursive_mutex mutex;
  int depth = 0;           // of open transactions
  bool abandoned = false;  // an inner transaction was not committed: the outer one must not be either
  double last_flush = 0;
  std::map<std::string, std::int64_t> run_keys;
  std::map<std::tuple<std::int64_t, std::string, std::string>, std::int64_t> series_keys;
  std::vector<BufferedMetric> metrics;
  std::map<std::pair<std::int64_t, std::string>, PendingProgress> progress;
};

}  // namespace forge::track
