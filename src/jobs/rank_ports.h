// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/stop_token.h"
#include "jobs/ports.h"
#include "jobs/rank_messages.h"

namespace forge::jobs {

/// Workers that are ranks of an MPI program. Rank 0 is no worker but a relay: it has a worker's port to the
/// coordinator for each other rank and passes messages both ways, so that of a whole cluster only one process
/// looks into the run's folder. A rank that dies takes the program with it (mpirun sees to that); the
/// coordinator gives what they had in hand to others.
class RankWorkerPort : public WorkerPort {
 public:
  /// `wait` sleeps; a test counts instead.
  explicit RankWorkerPort(RankMessages& ranks, std::function<void(double seconds)> wait = {});
  void Send(const FromWorker& message) override;
  std::optional<ToWorker> Receive(double seconds) override;

 private:
  RankMessages& ranks_;
  std::function<void(double)> wait_;
};

class RankRelay {
 public:
  /// `open` makes the port of a rank's worker, when that says hello.
  RankRelay(RankMessages& ranks, std::function<std::unique_ptr<WorkerPort>(int rank)> open);
  /// Passes on what there is, without waiting; whether there was anything. Error(kEnvironment) if the
  /// coordinator's side cannot be written, Error(kInput) for what is no message.
  bool Pass();
  /// Every rank has said goodbye.
  bool done() const { return left_ == ranks_.ranks() - 1; }
  /// Tells all ranks to end after the job that they have begun.
  void StopAll(const std::string& reason);

 private:
  RankMessages& ranks_;
  std::function<std::unique_ptr<WorkerPort>(int)> open_;
  std::map<int, std::unique_ptr<WorkerPort>> ports_;
  int left_ = 0;
};

/// Relays until all ranks have left; a request to stop is passed on to them. Rank 0's whole work.
void RunRelay(RankRelay& relay, const StopToken* stop, const std::function<void(double seconds)>& wait = {});

}  // namespace forge::jobs
