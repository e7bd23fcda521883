// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "track/database.h"
#include "track/records.h"

namespace forge::track {

/// The run store: `forge.db` in an output folder, the one truth for runs, stages, metrics, candidates,
/// evaluations, artifacts, events and finished units of work. Status, dashboard and report only read from it.
///
/// Only a run's own process writes its rows; any number of readers look on. What was committed survives
/// SIGKILL. Each writing call is a transaction of its own, unless a Transaction is open: then all calls until
/// its Commit become visible at once or not at all. One unit of work = one Transaction that also has its
/// PutUnit:
///
///   Store store = Store::Open("output", Store::Mode::kWrite);
///   if (auto done = store.GetUnit(run, "evolve", "candidate 12")) return Decode(*done);   // read back on
///   resume
///   ... evaluate ...
///   Store::Transaction unit(store);
///   store.RecordCandidate(run, candidate);
///   store.RecordEvaluation(run, evaluation);
///   store.PutUnit(run, "evolve", "candidate 12", result);
///   unit.Commit();
///
/// Calls are safe from several threads (one lock); a Transaction keeps the others waiting. A run id that is
/// not in the store is Error(kInput). Every call throws Error(kEnvironment) when the disk is full.
class Store {
 public:
  using Mode = Database::Mode;
  static constexpr const char* kFileName = "forge.db";

  /// kWrite creates folder and store; kRead throws Error(kInput) when there is none.
  static Store Open(const std::filesystem::path& folder, Mode mode, Clock clock = SystemClock());
  /// The same as Open(kRead) where no store is normal. One that another process is just creating is none yet.
  static std::optional<Store> OpenIfAny(const std::filesystem::path& folder, Clock clock = SystemClock());
  /// A reader that does not see what is written from now on, because the disk is full or can only be read:
  /// open it again to see more.
  bool frozen() const;
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();  // writes what is still buffered, if it can

  /// Groups writes; what was written is undone if it goes away without Commit. Nested ones join the outer
  /// one.
  class Transaction {
   public:
    explicit Transaction(Store& store);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void Commit();

   private:
    Store& store_;
    std::unique_lock<std::recursive_mutex> lock_;
    bool outer_, committed_ = false;
  };

  // Runs.
  void CreateRun(const RunStart& start);
  /// Takes a stopped run over for this process. Error(kInput) while another process is still running it.
  void ResumeRun(const std::string& run);
  void FinishRun(const std::string& run, State state, const Json& result = Json::object(),
                 const std::string& message = {});
  /// "I am alive"; Progress and Flush do it too. Call it at least every 30 s from jobs that report nothing.
  void Heartbeat(const std::string& run);
  std::optional<Run> FindRun(const std::string& run);
  /// Newest first.
  std::vector<Run> Runs();

  // Stages, in the order in which they were begun.
  void BeginStage(const std::string& run, const std::string& stage);
  /// Kept for at most 200 ms (by the clock), so that a fast loop may call it at every step.
  void Progress(const std::string& run, const std::string& stage, std::int64_t done, std::int64_t total,
                std::string_view unit, std::string_view activity = {});
  void EndStage(const std::string& run, const std::string& stage, State state,
                const Json& result = Json::object());
  std::optional<Stage> FindStage(const std::string& run, const std::string& stage);
  std::vector<Stage> Stages(const std::string& run);

  // Finished units of work, for resume. JSON keeps doubles exactly, but not NaN or infinity (they become
  // null).
  void PutUnit(const std::string& run, const std::string& stage, std::string_view key, const Json& result);
  std::optional<Json> GetUnit(const std::string& run, const std::string& stage, std::string_view key);
  std::int64_t CountUnits(const std::string& run, const std::string& stage);

  // Jobs of a stage, done by workers that never open the store (src/jobs). Readers of a store that was
  // written before there were jobs see none.
  /// Adds the job, open, and returns its row; one of that key that is there stays as it is. Error(kInput) if
  /// that one's `what` is another.
  JobRow AddJob(const std::string& run, const std::string& stage, std::string_view key, const Json& what);
  std::optional<JobRow> FindJob(const std::string& run, const std::string& stage, std::string_view key);
  /// Gives it to a worker and counts the attempt, unless it is done.
  void LeaseJob(const std::string& run, const std::string& stage, std::string_view key,
                std::string_view worker);
  /// All jobs that these workers hold get the time of now.
  void HeartbeatJobs(const std::string& run, const std::string& stage, std::span<const std::string> workers);
  /// Ends the lease without a result; a job that is done stays done.
  void ReopenJob(const std::string& run, const std::string& stage, std::string_view key);
  /// The job is done and its unit is there, at once. False for a job that was done already (then its unit
  /// stays as it is and the result is counted in JobCounts::extra_results) or is not known.
  [[nodiscard]] bool FinishJob(const std::string& run, const std::string& stage, const JobDone& done);
  JobCounts CountJobs(const std::string& run, const std::string& stage);
  /// Those that have held a job last, by name.
  std::vector<JobWorker> JobWorkers(const std::string& run, const std::string& stage);

  // Results that any run of this folder can use, by a key that says all they depend on. Rows carry a
  // checksum: a damaged one throws Error(kInput).
  void KeepEvaluation(const std::string& key, const Json& value);
  std::optional<Json> FindKeptEvaluation(const std::string& key);
  std::int64_t CountKeptEvaluations();
  void ForgetKeptEvaluations();

  // What depends on one tensor of two models alone; the key says which models and what. Every writer has the
  // same value, so the first one stays. A damaged row throws Error(kInput); forgotten, it can be written
  // again.
  void KeepTensorStatistics(const std::string& key, const std::string& tensor, const Json& value);
  std::optional<Json> FindTensorStatistics(const std::string& key, const std::string& tensor);
  void ForgetTensorStatistics(const std::string& key, const std::string& tensor);

  // Search. Recording a candidate or an evaluation again replaces it.
  void RecordCandidate(const std::string& run, const Candidate& candidate);
  std::optional<Candidate> FindCandidate(const std::string& run, std::int64_t id);
  std::vector<Candidate> Candidates(const std::string& run);  // by id
  SearchSummary SummarizeSearch(const std::string& run);
  void RecordEvaluation(const std::string& run, const Evaluation& evaluation);
  std::optional<Evaluation> FindEvaluation(const std::string& run, std::int64_t candidate,
                                           std::string_view split, std::string_view domain);
  std::vector<Evaluation> Evaluations(const std::string& run, std::int64_t candidate);

  // Artifacts, metrics, events.
  void RecordArtifact(const std::string& run, const Artifact& artifact);
  std::vector<Artifact> Artifacts(const std::string& run);
  /// Buffered: written with the next transaction, after 200 ms, or at 512 points.
  void Metric(const std::string& run, const std::string& stage, std::string_view name, std::int64_t step,
              double value);
  /// In the order of their ids; `after` 0 is the start.
  std::vector<MetricPoint> MetricsAfter(const std::string& run, std::int64_t after, std::int64_t limit);
  /// At most `points` points of each series of a run, evenly taken and with the last one; by series, then
  /// step.
  std::vector<MetricPoint> MetricsThinned(const std::string& run, std::int64_t points);
  void AddEvent(const std::string& run, std::string_view kind, const std::string& stage, const Json& json);
  /// Events of all runs, or of one, with id > after, oldest first.
  std::vector<Event> EventsAfter(std::int64_t after, std::int64_t limit, const std::string& run = {});
  /// The newest `limit` events of one kind of a run, oldest first.
  std::vector<Event> LastEvents(const std::string& run, std::string_view kind, std::int64_t limit);
  std::int64_t LastEventId();
  std::int64_t LastMetricId();
  /// Differs from its last value when another connection has committed since; costs nearly nothing.
  std::int64_t DataVersion();

  /// Writes the buffered metrics and progress now.
  void Flush();
  double Now() const;

 private:
  struct PendingProgress;
  struct Core;
  explicit Store(std::unique_ptr<Core> core);

  std::int64_t Key(const std::string& run);
  std::int64_t SeriesKey(std::int64_t run, const std::string& stage, const std::string& name);
  Stage ReadStage(Statement& row, const Run& run) const;
  std::int64_t OneNumber(std::string_view sql);
  void WriteBuffers();
  void FlushIfDue();

  std::unique_ptr<Core> core_;
};

}  // namespace forge::track
