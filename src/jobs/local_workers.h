// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "track/records.h"

namespace forge::jobs {

struct LocalWorkersOptions {
  std::vector<std::string> command;   // program and arguments of a worker; looked for in PATH without a '/'
  int count = 1;                      // of processes, 1 or more
  std::filesystem::path output = {};  // what they print is added to this file; empty: to our own output
  int most_restarts = 3;              // in a row, of one of them
  double settled_seconds = 60;        // one that lived so long begins a new row
  double end_seconds = 5;             // from the request to end until SIGKILL
  std::function<void(const std::string&)> log = {};  // a line for each end that was not asked for
  track::Clock clock = track::SteadyClock();
};

/// Worker processes on this machine, children of this process. The kernel kills them when the thread that
/// called the constructor or Tend ends, so none outlives a coordinator that was killed; call both on the main
/// thread. They are in process groups of their own: Ctrl-C reaches only this process, which ends them in
/// order.
///
/// One that dies of a signal (a crash, the kernel's out-of-memory killer) is started again by Tend, at most
/// most_restarts times in a row. One that ends by itself has said why, and is not.
class LocalWorkers {
 public:
  /// Error(kEnvironment) if the program cannot be started.
  explicit LocalWorkers(LocalWorkersOptions options);
  /// SIGTERM to all, SIGKILL to those left after end_seconds.
  ~LocalWorkers();
  LocalWorkers(const LocalWorkers&) = delete;
  LocalWorkers& operator=(const LocalWorkers&) = delete;

  /// Looks for those that have ended; does not wait. Error(kEnvironment) if one cannot be started again.
  void Tend();
  /// Error(kEnvironment) with how the last one ended if none lives any more: waiting for them has no end.
  void ThrowIfNoneIsLeft() const;
  /// How many live, as of the last Tend.
  int running() const;
  /// How the last one ended: "worker process 4711 was killed by signal 9 (Killed)". Empty while none did.
  const std::string& last_end() const { return last_end_; }
  /// Process ids of those that live.
  std::vector<pid_t> processes() const;

 private:
  struct Child {
    pid_t process = 0;  // 0: ended for good
    double started = 0;
    int restarts = 0;  // in a row
  };
  void Start(Child& child);
  void OnEnd(Child& child, int status);
  void Signal(int signal);
  bool Reap();

  LocalWorkersOptions options_;
  std::vector<Child> children_;
  std::string last_end_;
};

}  // namespace forge::jobs
