// SPDX-License-Identifier: Apache-2.0
#include "track/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace forge::track {
namespace {

// runs.process names the process that writes (process_id.h); heartbeat and all other times are seconds since
// 1970. stages.seconds is the time spent in earlier sessions (before a resume); started is that of the
// current one. metrics: a step that is reported again (after a resume) replaces the old value and gets a new
// id, so that a reader that asks for "everything after id" sees it.
constexpr char kTables[] = R"sql(
CREATE TABLE runs(
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created REAL NOT NULL, command TEXT NOT NULL,
  config TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
  pid INTEGER NOT NULL, process TEXT NOT NULL, heartbeat REAL NOT NULL, ended REAL, result TEXT NOT NULL DEFAULT '{}');
CREATE TABLE stages(
  run INTEGER NOT NULL REFERENCES runs(key), name TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
  started REAL, ended REAL, seconds REAL NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0, unit TEXT NOT NULL DEFAULT '', activity TEXT NOT NULL DEFAULT '', rate REAL,
  result TEXT NOT NULL DEFAULT '{}', PRIMARY KEY(run, name));
CREATE TABLE series(
  key INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs(key), stage TEXT NOT NULL, name TEXT NOT NULL,
  UNIQUE(run, stage, name));
CREATE TABLE metrics(
  id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL REFERENCES series(key), step INTEGER NOT NULL,
  value REAL, UNIQUE(series, step));
CREATE TABLE candidates(
  run INTEGER NOT NULL REFERENCES runs(key), id INTEGER NOT NULL, generation INTEGER NOT NULL, kind TEXT NOT NULL,
  label TEXT NOT NULL, genome TEXT NOT NULL, parents TEXT NOT NULL, scores TEXT NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY(run, id));
CREATE TABLE evaluations(
  run INTEGER NOT NULL REFERENCES runs(key), candidate INTEGER NOT NULL, split TEXT NOT NULL, domain TEXT NOT NULL,
  n INTEGER NOT NULL, score REAL, items BLOB NOT NULL, PRIMARY KEY(run, candidate, split, domain));
CREATE TABLE artifacts(
  run INTEGER NOT NULL REFERENCES runs(key), name TEXT NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL, PRIMARY KEY(run, name));
CREATE TABLE units(
  run INTEGER NOT NULL REFERENCES runs(key), stage TEXT NOT NULL, key TEXT NOT NULL, result TEXT NOT NULL,
  PRIMARY KEY(run, stage, key)) WITHOUT ROWID;
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL REFERENCES runs(key), time REAL NOT NULL,
  kind TEXT NOT NULL, stage TEXT NOT NULL, json TEXT NOT NULL);
CREATE INDEX events_by_run ON events(run, id);
)sql";

// What each later version adds to the tables of the one before; the first entry makes version 2.
// jobs: ids are in the order of submission. worker, leased_at and heartbeat are those of the last lease, and
// stay when it ends. seconds: that the job took at its worker. extra_results came after the first and were
// ignored. kept_evaluations: results that do not depend on the run, for the next one; checksum is sha256 of
// key and value. tensor_statistics: the same of a tensor of two models, with its name in the checksum.
constexpr const char* kAdditions[] = {R"sql(
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs(key), stage TEXT NOT NULL, key TEXT NOT NULL,
  what TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open', worker TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL DEFAULT 0, leased_at REAL, heartbeat REAL, done_at REAL, seconds REAL,
  extra_results INTEGER NOT NULL DEFAULT 0, UNIQUE(run, stage, key));
CREATE INDEX leased_jobs ON jobs(run, stage, worker) WHERE state = 'leased';
)sql",
                                      R"sql(
CREATE TABLE kept_evaluations(
  key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
)sql",
                                      R"sql(
CREATE TABLE tensor_statistics(
  key TEXT NOT NULL, tensor TEXT NOT NULL, value TEXT NOT NULL, checksum TEXT NOT NULL,
  PRIMARY KEY(key, tensor)) WITHOUT ROWID;
)sql"};
static_assert(kSchemaVersion == 1 + std::size(kAdditions));

/// Creates what the store of this version lacks, in a transaction of its own.
void Upgrade(Database& database) {
  database.Execute("BEGIN IMMEDIATE");
  const int version = SchemaVersion(database);  // another process may have done it while we waited
  if (version == 0) database.Execute(kTables);
  for (int next = std::max(version, 1) + 1; next <= kSchemaVersion; ++next)
    database.Execute(kAdditions[next - 2]);
  if (version < kSchemaVersion) database.Execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  database.Execute("COMMIT");
}

/// Tables without ours among them are another program's. One statement, so that it sees either nothing or all
/// of what another forge creates at this moment.
void RefuseForeignTables(Database& database) {
  Statement& statement = database.Prepare(
      "SELECT name FROM sqlite_master WHERE NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'units') "
      "LIMIT 1");
  const bool has_tables = statement.Step();
  const std::string name = has_tables ? statement.Text(0) : "";
  statement.Reset();
  if (has_tables)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the run store " + database.file().string(),
                 .why = fmt::format("it is the database of another program (with a table {})", name),
                 .fix = "choose another folder with --output-dir"});
}

[[noreturn]] void RefuseNewer(const Database& database, int version) {
  throw Error(
      {.kind = ErrorKind::kInput,
       .what = "cannot use the run store " + database.file().string(),
       .why = fmt::format("its schema is version {}; this forge knows version {}", version, kSchemaVersion),
       .fix = "use the newer forge that wrote it, or another folder"});
}

}  // namespace

int SchemaVersion(Database& database) {
  Statement& statement = database.Prepare("PRAGMA user_version");
  const int version = statement.Step() ? static_cast<int>(statement.Int(0)) : 0;
  statement.Reset();
  return version;
}

bool PrepareSchema(Database& database, Database::Mode mode) {
  if (mode == Database::Mode::kWrite) {
    RefuseForeignTables(database);  // before the change of journal, which is written into the file
    // WAL: readers never wait for the writer. NORMAL: a killed process loses nothing that was committed; a
    // power cut may lose the last commits but leaves a whole store, and a lost unit of work is only computed
    // again. Files are synced before the row that names them is written (io::AtomicFile), so no row points at
    // nothing.
    database.Execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
        "PRAGMA journal_size_limit = 16777216");
  }
  int version = SchemaVersion(database);
  if (version < kSchemaVersion && mode == Database::Mode::kWrite) {
    Upgrade(database);
    version = SchemaVersion(database);
  }
  if (version > kSchemaVersion) RefuseNewer(database, version);
  return version > 0;
}

}  // namespace forge::track
