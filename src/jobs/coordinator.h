// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/stop_token.h"
#include "jobs/executor.h"
#include "jobs/ports.h"
#include "track/store.h"

namespace forge::jobs {

struct CoordinatorOptions {
  Identity identity;  // what workers must have too
  std::string run, stage;
  double lease_seconds = 30;   // a worker that is silent for longer loses its jobs
  int prefetch = 2;            // jobs in a worker's hand: one that it does, and the next
  int most_losses = 5;         // workers that may be lost over one job
  int expected_workers = 0;    // that will join soon: Slots counts them
  double notice_seconds = 10;  // without any worker, before `log` says so
  std::string join_command = "forge worker --run DIR";  // that starts one, for that line
  std::function<void(const std::string&)> log = {};     // workers come and go; anything strange
  std::function<void()> tend = {};  // called in each round while waiting: LocalWorkers::Tend; may throw
  const StopToken* stop = nullptr;
  track::Clock clock = track::SteadyClock();      // for leases
  std::function<void(double seconds)> wait = {};  // sleeps
};

/// Gives jobs to workers, whoever they are and whenever they come, and takes each result once.
///
/// A job is a row of the store (Store::AddJob). It is open, leased to a worker, or done; with its result its
/// unit of the same key is there, in one transaction, before Next returns it. So whatever dies, at any time:
/// what was done stays done, and what was under way is given to another worker.
///
/// Jobs go out in the order of submission, to the worker with the fewest in hand. A lease ends when the
/// worker was silent for lease_seconds of the coordinator's own clock, says goodbye, is known to be dead, or
/// joins anew; then the job is open again. A result that comes all the same, late, counts if it is the first,
/// else it is only counted. When nothing is open, a worker without work takes over what another has in hand
/// and has not begun. Time in which nobody polls (a stopped process, a caller that is busy) is not held
/// against workers.
///
/// The result of a job must not depend on who does it; see Job. Used by one thread; store and port must
/// outlive it. Its end tells all workers to stop.
class Coordinator : public Executor {
 public:
  Coordinator(CoordinatorPort& port, track::Store& store, CoordinatorOptions options);
  ~Coordinator() override;

  /// A job whose row is done is not done again: Next returns its unit. Error(kInput) if the run has another
  /// job of this key. The key must not be under way.
  void Submit(Job job) override;
  /// Throws Error(kInput) with a worker's words if a job can be done nowhere, Error(kEnvironment) if
  /// most_losses workers were lost over one job or the store cannot be written, and Error(kInterrupted).
  JobResult Next() override;
  int Slots() const override;
  std::size_t UnderWay() const override { return jobs_.size() + ready_.size(); }

  /// Workers that can be given jobs now.
  int workers() const { return active_; }

 private:
  enum class WorkerState { kUnproven, kActive, kLost, kRefused };
  struct Worker {
    Hello hello;
    WorkerState state = WorkerState::kUnproven;
    std::deque<std::string> in_hand;   // in the order in which it does them
    std::vector<std::string> claimed;  // that an earlier coordinator gave it; while unproven
    double last_heard = 0;
  };
  using WorkerEntry = std::pair<const std::string, Worker>;
  struct Pending {
    Job job;
    std::uint64_t order = 0;
    std::vector<std::string> lost_by;  // "<worker>: <why>"
  };
  using Outgoing = std::pair<std::string, ToWorker>;

  void Round();
  void Take(Event& event);
  void OnJoined(const std::string& name, Joined& joined);
  void OnResult(const std::string& name, Result& result);
  void OnFailure(WorkerEntry& worker, Failure& failure);
  void OnGoodbye(WorkerEntry& worker, const Goodbye& goodbye);

  void Activate(WorkerEntry& worker);
  void Lose(WorkerEntry& worker, const std::string& why, bool blame);
  void Refuse(WorkerEntry& worker, Error::Fields reason);
  void Expire();
  void ForgivePause();
  void Assign();
  void TakeOver();
  void Give(WorkerEntry& worker, const std::string& key);
  void TakeFromHand(const std::string& key);
  void Reopen(const std::string& key);
  void SetState(WorkerEntry& worker, WorkerState state);
  void SetAble(const WorkerEntry& worker, bool listed);
  void KeepRows();
  void NoticeLoneliness();
  void Log(const std::string& line) const;

  CoordinatorPort& port_;
  track::Store& store_;
  CoordinatorOptions options_;

  std::map<std::string, Pending> jobs_;                   // submitted and not done, by key
  std::set<std::pair<std::uint64_t, std::string>> open_;  // those that no worker has, in order of submission
  std::map<std::string, std::string> holder_;             // key -> worker that has it
  std::deque<JobResult> ready_;                           // done and not returned
  std::map<std::string, Worker> workers_;
  std::set<std::pair<std::size_t, std::string>> able_;  // active and less than prefetch in hand, by how much
  int active_ = 0;
  std::uint64_t submitted_ = 0;

  // Of the round that is under way; sent when its rows are committed.
  std::vector<Outgoing> outgoing_;
  std::vector<std::pair<std::string, std::string>> withdrawn_;  // worker, key
  std::vector<std::string> forgotten_;
  std::optional<Error> error_;

  double now_ = 0;  // of the round
  std::optional<double> last_round_, lonely_since_;
  bool noticed_ = false;
  double last_expiry_ = -1e300, last_rows_ = -1e300;
  std::set<std::string> heard_;  // since the rows were last kept
};

}  // namespace forge::jobs
