// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/stop_token.h"
#include "jobs/executor.h"
#include "jobs/ports.h"
#include "track/records.h"

namespace forge::jobs {

struct WorkerOptions {
  Identity identity;
  int threads = 1;                // that it uses, for the coordinator's list
  double heartbeat_seconds = 5;   // several times in a lease
  double patience_seconds = 600;  // it leaves after so long without a sign of a coordinator
  std::function<void(const std::string&)> log = {};
  const StopToken* stop = nullptr;
  track::Clock clock = track::SteadyClock();  // for the patience
};

struct WorkerOutcome {
  std::int64_t jobs = 0;  // results sent
  std::string reason;     // why it ended: what the coordinator said
};

/// Says hello, does the jobs that come through the port, one after the other, and says goodbye. Heartbeats
/// come from a thread of their own, so a job may take as long as it likes.
///
/// Returns when the coordinator says that it is enough. Throws Error(kInput) if the coordinator turns it away
/// (another version, other inputs), Error(kEnvironment) if no coordinator was seen for patience_seconds or if
/// `evaluate` throws one (a full disk, a file that is gone: another machine may do the job), and
/// Error(kInterrupted) on a request to stop, between two jobs or out of `evaluate`. An Error(kInput) of
/// `evaluate` is reported and ends the search at the coordinator; the worker goes on.
WorkerOutcome RunWorker(WorkerPort& port, const Evaluate& evaluate, const WorkerOptions& options);

/// Hello of this process.
Hello HelloOfThisProcess(const Identity& identity, int threads);

}  // namespace forge::jobs
