// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "jobs/messages.h"

namespace forge::jobs {

/// A worker has come, or was there when the coordinator came.
struct Joined {
  Hello hello;
  bool alive = true;                   // false: not known yet; a Heartbeat will tell
  std::vector<std::string> in_hand{};  // keys of jobs that an earlier coordinator gave it
};
/// The worker cannot come back: its process has ended.
struct Gone {
  std::string why;
};
/// What it said cannot be understood.
struct Unreadable {
  std::string why;
};

/// What a coordinator hears of a worker: what that said, or what the port has seen.
struct Event {
  std::string worker;  // letters, digits, '.', '_', '-'
  std::variant<Joined, Heartbeat, Result, Failure, Goodbye, Gone, Unreadable> what;
};

/// The coordinator's end of a transport. Used by one thread.
class CoordinatorPort {
 public:
  virtual ~CoordinatorPort() = default;
  /// What has happened since the last call, each worker's in order, its Joined first. Does not wait. `now` is
  /// in seconds on a clock that never jumps.
  virtual std::vector<Event> Poll(double now) = 0;
  /// What Poll has given is stored. Until then the port keeps it for the next coordinator.
  virtual void Settle() = 0;
  /// To a worker that has left it goes nowhere.
  virtual void Send(const std::string& worker, const ToWorker& message) = 0;
  /// Takes a job back that the worker may not have begun yet.
  virtual void Withdraw(const std::string& worker, const std::string& key) = 0;
  /// The worker will not be heard of again; what is kept for it can go.
  virtual void Forget(const std::string& worker) = 0;
};

/// A worker's end.
class WorkerPort {
 public:
  virtual ~WorkerPort() = default;
  /// Safe from two threads. Error(kEnvironment) if it cannot be sent.
  virtual void Send(const FromWorker& message) = 0;
  /// The next message, waiting at most so long for it. A Presence comes each time the coordinator is known to
  /// be there. Used by one thread.
  virtual std::optional<ToWorker> Receive(double seconds) = 0;
};

}  // namespace forge::jobs
