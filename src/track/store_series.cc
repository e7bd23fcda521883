// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "track/store_core.h"

namespace forge::track {
namespace {

MetricPoint ReadPoint(const Statement& row) {
  return {
      .id = row.Int(0), .stage = row.Text(1), .name = row.Text(2), .step = row.Int(3), .value = row.Real(4)};
}

Event ReadEvent(const Statement& row) {
  return {.id = row.Int(0),
          .run = row.Text(1),
          .time = row.Real(2),
          .kind = row.Text(3),
          .stage = row.Text(4),
          .json = ParseColumn(row.Text(5))};
}

std::vector<Event> ReadEvents(Statement& row) {
  std::vector<Event> events;
  while (row.Step()) events.push_back(ReadEvent(row));
  return events;
}

}  // namespace

void Store::RecordArtifact(const std::string& run, const Artifact& artifact) {
  Transaction unit(*this);
  core_->database
      .Prepare("INSERT OR REPLACE INTO artifacts(run, name, path, bytes, sha256) VALUES(?, ?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(artifact.name)
      .Bind(artifact.path)
      .Bind(static_cast<std::int64_t>(artifact.bytes))
      .Bind(artifact.sha256)
      .Run();
  AddEvent(run, "artifact", "",
           {{"name", artifact.name}, {"path", artifact.path}, {"bytes", artifact.bytes}});
  unit.Commit();
}

std::vector<Artifact> Store::Artifacts(const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row =
      core_->database.Prepare("SELECT name, path, bytes, sha256 FROM artifacts WHERE run = ? ORDER BY rowid");
  row.Bind(key);
  std::vector<Artifact> artifacts;
  while (row.Step())
    artifacts.push_back({.name = row.Text(0),
                         .path = row.Text(1),
                         .bytes = static_cast<std::uint64_t>(row.Int(2)),
                         .sha256 = row.Text(3)});
  return artifacts;
}

std::int64_t Store::SeriesKey(std::int64_t run, const std::string& stage, const std::string& name) {
  const auto cached = core_->series_keys.find({run, stage, name});
  if (cached != core_->series_keys.end()) return cached->second;
  core_->database.Prepare("INSERT OR IGNORE INTO series(run, stage, name) VALUES(?, ?, ?)")
      .Bind(run)
      .Bind(stage)
      .Bind(name)
      .Run();
  Statement& row = core_->database.Prepare("SELECT key FROM series WHERE run = ? AND stage = ? AND name = ?");
  row.Bind(run).Bind(stage).Bind(name).Step();
  const std::int64_t key = row.Int(0);
  row.Reset();
  return core_->series_keys[{run, stage, name}] = key;
}

void Store::Metric(const std::string& run, const std::string& stage, std::string_view name, std::int64_t step,
                   double value) {
  const std::lock_guard lock(core_->mutex);
  core_->metrics.push_back({Key(run), stage, std::string(name), step, value});
  FlushIfDue();
}

std::vector<MetricPoint> Store::MetricsAfter(const std::string& run, std::int64_t after, std::int64_t limit) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  // The unary plus keeps SQLite from walking all points of the run through the index on series.
  Statement& row = core_->database.Prepare(
      "SELECT m.id, s.stage, s.name, m.step, m.value FROM metrics m JOIN series s ON s.key = +m.series "
      "WHERE m.id > ? AND s.run = ? ORDER BY m.id LIMIT ?");
  row.Bind(after).Bind(key).Bind(limit);
  std::vector<MetricPoint> points;
  while (row.Step()) points.push_back(ReadPoint(row));
  return points;
}

std::vector<MetricPoint> Store::MetricsThinned(const std::string& run, std::int64_t points) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(
      "SELECT id, stage, name, step, value FROM ("
      "  SELECT m.id, s.key, s.stage, s.name, m.step, m.value, count(*) OVER (PARTITION BY s.key) AS n,"
      "         row_number() OVER (PARTITION BY s.key ORDER BY m.step DESC) - 1 AS from_end"
      "  FROM metrics m JOIN series s ON s.key = m.series WHERE s.run = ?1) "
      "WHERE from_end % ((n + ?2 - 1) / ?2) = 0 ORDER BY key, step");
  row.Bind(key).Bind(std::max<std::int64_t>(points, 1));
  std::vector<MetricPoint> thinned;
  while (row.Step()) thinned.push_back(ReadPoint(row));
  return thinned;
}

void Store::AddEvent(const std::string& run, std::string_view kind, const std::string& stage,
                     const Json& json) {
  Transaction unit(*this);
  core_->database.Prepare("INSERT INTO events(run, time, kind, stage, json) VALUES(?, ?, ?, ?, ?)")
      .Bind(Key(run))
      .Bind(Now())
      .Bind(kind)
      .Bind(stage)
      .Bind(DumpJson(json))
      .Run();
  unit.Commit();
}

std::vector<Event> Store::EventsAfter(std::int64_t after, std::int64_t limit, const std::string& run) {
  const std::lock_guard lock(core_->mutex);
  const std::string select =
      "SELECT e.id, r.id, e.time, e.kind, e.stage, e.json FROM events e JOIN runs r ON r.key = e.run WHERE "
      "e.id > ?";
  if (run.empty()) {
    Statement& row = core_->database.Prepare(select + " ORDER BY e.id LIMIT ?");
    row.Bind(after).Bind(limit);
    return ReadEvents(row);
  }
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(select + " AND e.run = ? ORDER BY e.id LIMIT ?");
  row.Bind(after).Bind(key).Bind(limit);
  return ReadEvents(row);
}

std::vector<Event> Store::LastEvents(const std::string& run, std::string_view kind, std::int64_t limit) {
  const std::lock_guard lock(core_->mutex);
  const std::int64_t key = Key(run);
  Statement& row = core_->database.Prepare(
      "SELECT e.id, r.id, e.time, e.kind, e.stage, e.json FROM events e JOIN runs r ON r.key = e.run "
      "WHERE e.run = ? AND e.kind = ? ORDER BY e.id DESC LIMIT ?");
  row.Bind(key).Bind(kind).Bind(limit);
  std::vector<Event> events = ReadEvents(row);
  std::reverse(events.begin(), events.end());
  return events;
}

std::int64_t Store::OneNumber(std::string_view sql) {
  const std::lock_guard lock(core_->mutex);
  Statement& row = core_->database.Prepare(sql);
  row.Step();
  const std::int64_t number = row.Int(0);
  row.Reset();
  return number;
}

std::int64_t Store::LastEventId() { return OneNumber("SELECT coalesce(max(id), 0) FROM events"); }
std::int64_t Store::LastMetricId() { return OneNumber("SELECT coalesce(max(id), 0) FROM metrics"); }
std::int64_t Store::DataVersion() { return OneNumber("PRAGMA data_version"); }

}  // namespace forge::track
