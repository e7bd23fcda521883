// SPDX-License-Identifier: Apache-2.0
#include "track/store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "track/process_id.h"
#include "track/schema.h"
#include "track/store_core.h"

namespace forge::track {
namespace {

constexpr double kFlushSeconds = 0.2;   // a reader is at most this late
constexpr double kStaleSeconds = 90;    // three missed heartbeats; only for processes we cannot see
constexpr double kRateSeconds = 60;     // the rate looks back this far,
constexpr std::size_t kRatePoints = 4;  // or this many reports, if they come more slowly

constexpr char kRunColumns[] =
    "SELECT id, created, command, config, seed, state, message, pid, process, heartbeat, ended, result FROM "
    "runs";
constexpr char kStageColumns[] =
    "SELECT name, state, started, ended, seconds, done, total, unit, activity, rate, result FROM stages "
    "WHERE run = ?";

std::optional<double> OptionalReal(const Statement& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(row.Real(column));
}

Run ReadRun(Statement& row, double now) {
  Run run{.id = row.Text(0),
          .created = row.Real(1),
          .command = row.Text(2),
          .config = ParseColumn(row.Text(3)),
          .seed = row.Int(4),
          .state = ParseState(row.Text(5)),
          .message = row.Text(6),
          .pid = row.Int(7),
          .heartbeat = row.Real(9),
          .ended = OptionalReal(row, 10),
          .result = ParseColumn(row.Text(11))};
  if (run.state == State::kRunning) {
    const Liveness liveness = LivenessOf(row.Text(8));
    const bool stale = now - run.heartbeat > kStaleSeconds;
    if (liveness == Liveness::kDead || (liveness == Liveness::kUnknown && stale))
      run.state = State::kInterrupted;
  }
  return run;
}

}  // namespace

Store::Store(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

Store::~Store() {
  if (!core_) return;
  try {
    Flush();
  } catch (const Error&) {  // a destructor cannot report it; units that matter were committed before
  }
}

Store Store::Open(const std::filesystem::path& folder, Mode mode, Clock clock) {
  if (mode == Mode::kRead) {
    std::optional<Store> store = OpenIfAny(folder, std::move(clock));
    if (store) return std::move(*store);
    throw Error({.kind = ErrorKind::kInput,
                 .what = "no runs in " + folder.string(),
                 .why = fmt::format("there is no run store {} in that folder", kFileName),
                 .fix = "start one with `forge run-pipeline`, or name its folder with --output-dir"});
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot create the output folder " + folder.string(),
                 .why = error.message(),
                 .fix = "choose another one with --output-dir"});
  auto core = std::make_unique<Core>(folder / kFileName, mode, std::move(clock));
  FORGE_CHECK(PrepareSchema(core->database, mode));
  return Store(std::move(core));
}

std::optional<Store> Store::OpenIfAny(const std::filesystem::path& folder, Clock clock) {
  if (!std::filesystem::exists(folder / kFileName)) return std::nullopt;
  auto core = std::make_unique<Core>(folder / kFileName, Mode::kRead, std::move(clock));
  if (!PrepareSchema(core->database, Mode::kRead)) return std::nullopt;
  return Store(std::move(core));
}

bool Store::frozen() const { return core_->database.frozen(); }

double Store::Now() const { return core_->clock(); }

Store::Transaction::Transaction(Store& store)
    : store_(store), lock_(store.core_->mutex), outer_(store.core_->depth == 0) {
  if (outer_) {
    store_.core_->database.Execute("BEGIN IMMEDIATE");
    store_.core_->abandoned = false;
  }
  ++store_.core_->depth;
}

void Store::Transaction::Commit() {
  FORGE_CHECK(!committed_);
  if (outer_) {
    FORGE_CHECK(!store_.core_->abandoned);
    store_.WriteBuffers();
    store_.core_->database.Execute("COMMIT");
  }
  committed_ = true;
}

Store::Transaction::~Transaction() {
  --store_.core_->depth;
  if (committed_) return;
  store_.core_->abandoned = true;
  if (!outer_) return;
  store_.core_->run_keys.clear();  // they may name rows that are undone now
  store_.core_->series_keys.clear();
  try {
    store_.core_->database.Execute("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself, as it does when the disk is full
  }
}

std::int64_t Store::Key(const std::string& run) {
  const auto cached = core_->run_keys.find(run);
  if (cached != core_->run_keys.end()) return cached->second;
  Statement& statement = core_->database.Prepare("SELECT key FROM runs WHERE id = ?");
  if (!statement.Bind(run).Step())
    throw Error({.kind = ErrorKind::kInput,
                 .what = "no run " + run,
                 .why = "the store " + core_->database.file().string() + " has no run of that name",
                 .fix = "`forge runs` lists them"});
  const std::int64_t key = statement.Int(0);
  statement.Reset();
  return core_->run_keys[run] = key;
}

void Store::CreateRun(const RunStart& start) {
  Transaction unit(*this);
  if (FindRun(start.id))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "run " + start.id + " exists already",
                 .why = "each run of an output folder needs its own name",
                 .fix = "resume it with --resume, or choose another name"});
  core_->database
      .Prepare(
          "INSERT INTO runs(id, created, command, config, seed, state, pid, process, heartbeat) "
          "VALUES(?, ?, ?, ?, ?, 'running', ?, ?, ?)")
      .Bind(start.id)
      .Bind(Now())
      .Bind(start.command)
      .Bind(DumpJson(start.config))
      .Bind(start.seed)
      .Bind(std::int64_t{getpid()})
      .Bind(OwnProcessId())
      .Bind(Now())
      .Run();
  AddEvent(start.id, "run", "", {{"state", "running"}});
  unit.Commit();
}

void Store::ResumeRun(const std::string& run) {
  Transaction unit(*this);
  const std::int64_t key = Key(run);
  const Run found = *FindRun(run);
  if (found.state == State::kRunning && found.pid != getpid())
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot resume run " + run,
                 .why = fmt::format("process {} is still running it", found.pid),
                 .fix = "wait for it, or stop it first (Ctrl-C keeps its work)"});
  // What the killed process did not close is closed at its last heartbeat.
  core_->database
      .Prepare(
          "UPDATE stages SET state = 'interrupted', ended = ?1, seconds = seconds + max(0, ?1 - started) "
          "WHERE run = ?2 AND state = 'running'")
      .Bind(found.heartbeat)
      .Bind(key)
      .Run();
  core_->database
      .Prepare(
          "UPDATE runs SET state = 'running', message = '', pid = ?, process = ?, heartbeat = ?, ended = "
          "NULL "
          "WHERE key = ?")
      .Bind(std::int64_t{getpid()})
      .Bind(OwnProcessId())
      .Bind(Now())
      .Bind(key)
      .Run();
  AddEvent(run, "run", "", {{"state", "running"}, {"resumed", true}});
  unit.Commit();
}

void Store::FinishRun(const std::string& run, State state, const Json& result, const std::string& message) {
  Transaction unit(*this);
  const std::int64_t key = Key(run);
  core_->database
      .Prepare("UPDATE runs SET state = ?, result = ?, message = ?, ended = ?, heartbeat = ? WHERE key = ?")
      .Bind(Name(state))
      .Bind(DumpJson(result))
      .Bind(message)
      .Bind(Now())
      .Bind(Now())
      .Bind(key)
      .Run();
  AddEvent(run, "run", "", {{"state", Name(state)}, {"message", message}});
  unit.Commit();
}

void Store::Heartbeat(const std::string& run) {
  Transaction unit(*this);
  core_->database.Prepare("UPDATE runs SET heartbeat = ? WHERE key = ?").Bind(Now()).Bind(Key(run)).Run();
  unit.Commit();
}

std::optional<Run> Store::FindRun(const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  Statement& row = core_->database.Prepare(std::string(kRunColumns) + " WHERE id = ?");
  if (!row.Bind(run).Step()) return std::nullopt;
  std::optional<Run> found = ReadRun(row, Now());
  row.Reset();
  return found;
}

std::vector<Run> Store::Runs() {
  const std::lock_guard lock(core_->mutex);
  Statement& row = core_->database.Prepare(std::string(kRunColumns) + " ORDER BY created DESC, key DESC");
  std::vector<Run> runs;
  while (row.Step()) runs.push_back(ReadRun(row, Now()));
  return runs;
}

void Store::BeginStage(const std::string& run, const std::string& stage) {
  Transaction unit(*this);
  const std::int64_t key = Key(run);
  core_->progress.erase({key, stage});
  core_->database
      .Prepare(
          "INSERT INTO stages(run, name, position, state, started) "
          "VALUES(?1, ?2, (SELECT count(*) FROM stages WHERE run = ?1), 'running', ?3) "
          "ON CONFLICT DO UPDATE SET state = 'running', started = ?3, ended = NULL, rate = NULL, result = "
          "'{}'")
      .Bind(key)
      .Bind(stage)
      .Bind(Now())
      .Run();
  AddEvent(run, "stage", stage, {{"state", "running"}});
  unit.Commit();
}

void Store::Progress(const std::string& run, const std::string& stage, std::int64_t done, std::int64_t total,
                     std::string_view unit, std::string_view activity) {
  const std::lock_guard lock(core_->mutex);
  PendingProgress& pending = core_->progress[{Key(run), stage}];
  if (done < pending.done || unit != pending.unit || activity != pending.activity) pending.history.clear();
  const std::deque<std::pair<double, std::int64_t>> history = std::move(pending.history);
  pending = {.done = done,
             .total = total,
             .unit = std::string(unit),
             .activity = std::string(activity),
             .changed = true,
             .history = history};
  pending.history.emplace_back(Now(), done);
  while (pending.history.size() > kRatePoints && pending.history.front().first < Now() - kRateSeconds)
    pending.history.pop_front();
  FlushIfDue();
}

void Store::EndStage(const std::string& run, const std::string& stage, State state, const Json& result) {
  Transaction unit(*this);
  const std::int64_t key = Key(run);
  WriteBuffers();
  core_->progress.erase({key, stage});
  core_->database
      .Prepare(
          "INSERT INTO stages(run, name, position, state, ended, result) "
          "VALUES(?1, ?2, (SELECT count(*) FROM stages WHERE run = ?1), ?3, ?4, ?5) "
          "ON CONFLICT DO UPDATE SET state = ?3, ended = ?4, seconds = seconds + max(0, ?4 - started), "
          "rate = NULL, result = ?5")
      .Bind(key)
      .Bind(stage)
      .Bind(Name(state))
      .Bind(Now())
      .Bind(DumpJson(result))
      .Run();
  AddEvent(run, "stage", stage, {{"state", Name(state)}});
  unit.Commit();
}

Stage Store::ReadStage(Statement& row, const Run& run) const {
  Stage stage{.name = row.Text(0),
              .state = ParseState(row.Text(1)),
              .started = OptionalReal(row, 2),
              .ended = OptionalReal(row, 3),
              .seconds = row.Real(4),
              .done = row.Int(5),
              .total = row.Int(6),
              .unit = row.Text(7),
              .activity = row.Text(8),
              .rate = OptionalReal(row, 9),
              .result = ParseColumn(row.Text(10))};
  if (stage.state == State::kRunning) {
    const bool alive = run.state == State::kRunning;
    stage.seconds += std::max(0.0, (alive ? Now() : run.heartbeat) - stage.started.value_or(Now()));
    if (!alive) stage.state = State::kInterrupted;
  }
  return stage;
}

std::optional<Stage> Store::FindStage(const std::string& run, const std::string& stage) {
  for (Stage& found : Stages(run))
    if (found.name == stage) return std::move(found);
  return std::nullopt;
}

std::vector<Stage> Store::Stages(const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  const Run owner = *FindRun(run);
  Statement& row = core_->database.Prepare(std::string(kStageColumns) + " ORDER BY position");
  row.Bind(key);
  std::vector<Stage> stages;
  while (row.Step()) stages.push_back(ReadStage(row, owner));
  return stages;
}

void Store::PutUnit(const std::string& run, const std::string& stage, std::string_view key,
                    const Json& result) {
  Transaction unit(*this);
  core_->database.Prepare("INSERT OR REPLACE INTO units(run, stage, key, result) VALUES(?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(stage)
      .Bind(key)
      .Bind(DumpJson(result))
      .Run();
  unit.Commit();
}

std::optional<Json> Store::GetUnit(const std::string& run, const std::string& stage, std::string_view key) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t run_key = Key(run);
  Statement& row =
      core_->database.Prepare("SELECT result FROM units WHERE run = ? AND stage = ? AND key = ?");
  if (!row.Bind(run_key).Bind(stage).Bind(key).Step()) return std::nullopt;
  Json result = ParseColumn(row.Text(0));
  row.Reset();
  return result;
}

std::int64_t Store::CountUnits(const std::string& run, const std::string& stage) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare("SELECT count(*) FROM units WHERE run = ? AND stage = ?");
  row.Bind(key).Bind(stage).Step();
  const std::int64_t count = row.Int(0);
  row.Reset();
  return count;
}

void Store::FlushIfDue() {
  constexpr std::size_t kMaxBuffered = 512;
  if (core_->depth == 0 &&
      (Now() - core_->last_flush >= kFlushSeconds || core_->metrics.size() >= kMaxBuffered))
    Flush();
}

void Store::Flush() {
  const std::lock_guard lock(core_->mutex);
  const bool progress = std::any_of(core_->progress.begin(), core_->progress.end(),
                                    [](const auto& entry) { return entry.second.changed; });
  if (!progress && core_->metrics.empty()) return;
  Transaction unit(*this);
  unit.Commit();  // writes the buffers
}

void Store::WriteBuffers() {
  core_->last_flush = Now();
  for (const Core::BufferedMetric& metric : core_->metrics)
    core_->database.Prepare("INSERT OR REPLACE INTO metrics(series, step, value) VALUES(?, ?, ?)")
        .Bind(SeriesKey(metric.run, metric.stage, metric.name))
        .Bind(metric.step)
        .Bind(metric.value)
        .Run();
  core_->metrics.clear();
  for (auto& [key, pending] : core_->progress) {
    if (!pending.changed) continue;
    pending.changed = false;
    const auto& [first_time, first_done] = pending.history.front();
    const auto& [last_time, last_done] = pending.history.back();
    Statement& update = core_->database.Prepare(
        "UPDATE stages SET done = ?, total = ?, unit = ?, activity = ?, rate = ? WHERE run = ? AND name = ?");
    update.Bind(pending.done).Bind(pending.total).Bind(pending.unit).Bind(pending.activity);
    if (last_time > first_time && last_done > first_done)
      update.Bind(static_cast<double>(last_done - first_done) / (last_time - first_time));
    else
      update.BindNull();
    update.Bind(key.first).Bind(key.second).Run();
    core_->database.Prepare("UPDATE runs SET heartbeat = ? WHERE key = ?").Bind(Now()).Bind(key.first).Run();
  }
}

}  // namespace forge::track
