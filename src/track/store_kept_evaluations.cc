// SPDX-License-Identifier: Apache-2.0
#include <span>

#include "base/error.h"
#include "io/sha256.h"
#include "track/schema.h"
#include "track/store_core.h"

namespace forge::track {
namespace {

std::string Checksum(const std::string& key, const std::string& value) {
  const std::string both = key + "\n" + value;
  return io::Sha256(std::as_bytes(std::span(both)));
}

bool HasTable(Database& database) { return SchemaVersion(database) >= kFirstVersionWithKeptEvaluations; }

}  // namespace

void Store::KeepEvaluation(const std::string& key, const Json& value) {
  Transaction unit(*this);
  const std::string text = DumpJson(value);
  const std::string checksum = Checksum(key, text);
  core_->database
      .Prepare("INSERT OR REPLACE INTO kept_evaluations(key, value, checksum, time) VALUES(?, ?, ?, ?)")
      .Bind(key)
      .Bind(text)
      .Bind(checksum)
      .Bind(Now())
      .Run();
  unit.Commit();
}

std::optional<Json> Store::FindKeptEvaluation(const std::string& key) {
  const std::lock_guard lock(core_->mutex);
  if (!HasTable(core_->database)) return std::nullopt;
  Statement& row = core_->database.Prepare("SELECT value, checksum FROM kept_evaluations WHERE key = ?");
  if (!row.Bind(key).Step()) return std::nullopt;
  const std::string text = row.Text(0), checksum = row.Text(1);
  row.Reset();
  if (checksum != Checksum(key, text))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the kept evaluation " + key + " in " + core_->database.file().string(),
                 .why = "its row is damaged: the checksum is another one",
                 .fix = "forge runs --forget-evaluations removes what is kept of earlier runs"});
  return ParseColumn(text);
}

std::int64_t Store::CountKeptEvaluations() {
  const std::lock_guard lock(core_->mutex);
  return HasTable(core_->database) ? OneNumber("SELECT count(*) FROM kept_evaluations") : 0;
}

void Store::ForgetKeptEvaluations() {
  Transaction unit(*this);
  core_->database.Prepare("DELETE FROM kept_evaluations").Run();
  unit.Commit();
}

}  // namespace forge::track
