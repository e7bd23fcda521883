// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/error.h"
#include "track/schema.h"
#include "track/store_core.h"

namespace forge::track {
namespace {

std::optional<double> OptionalReal(const Statement& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(row.Real(column));
}

double RealOrZero(const Statement& row, int column) { return row.IsNull(column) ? 0 : row.Real(column); }

/// Asked each time, because a writer may upgrade the store while a reader has it open.
bool HasJobs(Database& database) { return SchemaVersion(database) >= kFirstVersionWithJobs; }

}  // namespace

JobRow Store::AddJob(const std::string& run, const std::string& stage, std::string_view key,
                     const Json& what) {
  Transaction unit(*this);
  const std::string text = DumpJson(what);
  core_->database.Prepare("INSERT OR IGNORE INTO jobs(run, stage, key, what) VALUES(?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(stage)
      .Bind(key)
      .Bind(text)
      .Run();
  JobRow row = *FindJob(run, stage, key);
  if (DumpJson(row.what) != text)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot go on with run " + run,
                 .why = "its job " + std::string(key) + " was another one when it was started",
                 .fix = "resume it with the forge and the settings that started it, or start a new run"});
  unit.Commit();
  return row;
}

std::optional<JobRow> Store::FindJob(const std::string& run, const std::string& stage, std::string_view key) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t run_key = Key(run);
  if (!HasJobs(core_->database)) return std::nullopt;
  Statement& row = core_->database.Prepare(
      "SELECT key, what, state, worker, attempts, leased_at, done_at, heartbeat, seconds FROM jobs "
      "WHERE run = ? AND stage = ? AND key = ?");
  if (!row.Bind(run_key).Bind(stage).Bind(key).Step()) return std::nullopt;
  JobRow found{.key = row.Text(0),
               .what = ParseColumn(row.Text(1)),
               .state = ParseJobState(row.Text(2)),
               .worker = row.Text(3),
               .attempts = row.Int(4),
               .leased_at = OptionalReal(row, 5),
               .done_at = OptionalReal(row, 6),
               .heartbeat = OptionalReal(row, 7),
               .seconds = RealOrZero(row, 8)};
  row.Reset();
  return found;
}

void Store::LeaseJob(const std::string& run, const std::string& stage, std::string_view key,
                     std::string_view worker) {
  Transaction unit(*this);
  core_->database
      .Prepare(
          "UPDATE jobs SET state = 'leased', worker = ?1, attempts = attempts + 1, leased_at = ?2, "
          "heartbeat = ?2 WHERE run = ?3 AND stage = ?4 AND key = ?5 AND state != 'done'")
      .Bind(worker)
      .Bind(Now())
      .Bind(Key(run))
      .Bind(stage)
      .Bind(key)
      .Run();
  unit.Commit();
}

void Store::HeartbeatJobs(const std::string& run, const std::string& stage,
                          std::span<const std::string> workers) {
  Transaction unit(*this);
  for (const std::string& worker : workers)
    core_->database
        .Prepare(
            "UPDATE jobs SET heartbeat = ? WHERE run = ? AND stage = ? AND worker = ? AND state = 'leased'")
        .Bind(Now())
        .Bind(Key(run))
        .Bind(stage)
        .Bind(worker)
        .Run();
  unit.Commit();
}

void Store::ReopenJob(const std::string& run, const std::string& stage, std::string_view key) {
  Transaction unit(*this);
  core_->database
      .Prepare("UPDATE jobs SET state = 'open' WHERE run = ? AND stage = ? AND key = ? AND state = 'leased'")
      .Bind(Key(run))
      .Bind(stage)
      .Bind(key)
      .Run();
  unit.Commit();
}

bool Store::FinishJob(const std::string& run, const std::string& stage, const JobDone& done) {
  Transaction unit(*this);
  const std::optional<JobRow> row = FindJob(run, stage, done.key);
  if (!row) return false;
  const bool first = row->state != JobState::kDone;
  if (first) {
    core_->database
        .Prepare(
            "UPDATE jobs SET state = 'done', worker = ?, done_at = ?, seconds = ? "
            "WHERE run = ? AND stage = ? AND key = ?")
        .Bind(done.worker)
        .Bind(Now())
        .Bind(done.seconds)
        .Bind(Key(run))
        .Bind(stage)
        .Bind(done.key)
        .Run();
    PutUnit(run, stage, done.key, done.value);
  } else {
    core_->database
        .Prepare("UPDATE jobs SET extra_results = extra_results + 1 WHERE run = ? AND stage = ? AND key = ?")
        .Bind(Key(run))
        .Bind(stage)
        .Bind(done.key)
        .Run();
  }
  unit.Commit();
  return first;
}

JobCounts Store::CountJobs(const std::string& run, const std::string& stage) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  if (!HasJobs(core_->database)) return {};
  Statement& row = core_->database.Prepare(
      "SELECT total(state = 'open'), total(state = 'leased'), total(state = 'done'), total(attempts), "
      "total(extra_results) FROM jobs WHERE run = ? AND stage = ?");
  row.Bind(key).Bind(stage).Step();
  const JobCounts counts{.open = row.Int(0),
                         .leased = row.Int(1),
                         .done = row.Int(2),
                         .attempts = row.Int(3),
                         .extra_results = row.Int(4)};
  row.Reset();
  return counts;
}

std::vector<JobWorker> Store::JobWorkers(const std::string& run, const std::string& stage) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  if (!HasJobs(core_->database)) return {};
  Statement& row = core_->database.Prepare(
      "SELECT worker, total(state = 'leased'), total(state = 'done'), total(seconds), max(heartbeat) "
      "FROM jobs WHERE run = ? AND stage = ? AND worker != '' GROUP BY worker ORDER BY worker");
  row.Bind(key).Bind(stage);
  std::vector<JobWorker> workers;
  while (row.Step())
    workers.push_back({.worker = row.Text(0),
                       .leased = row.Int(1),
                       .done = row.Int(2),
                       .seconds = row.Real(3),
                       .heartbeat = OptionalReal(row, 4)});
  return workers;
}

}  // namespace forge::track
