// SPDX-License-Identifier: Apache-2.0
#include "track/database.h"

#include <sqlite3.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace forge::track {
namespace {

constexpr int kBusyTimeoutMs = 30'000;  // longer than any transaction of ours by three orders of magnitude

[[noreturn]] void ThrowSqlite(sqlite3* connection, int code, const std::filesystem::path& file) {
  const std::string why = connection ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  const int primary = code & 0xff;
  const bool damaged = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
  throw Error({.kind = damaged ? ErrorKind::kInput : ErrorKind::kEnvironment,
               .what = "cannot use the run store " + file.string(),
               .why = why,
               .fix = primary == SQLITE_FULL ? "free some disk space, then resume the run"
                      : damaged
                          ? "move the file away; the model folders of its runs stay usable"
                          : "check that the folder can be written and no other program holds the file"});
}

}  // namespace

Statement::Statement(sqlite3* connection, std::string_view sql, const std::filesystem::path& file)
    : connection_(connection), file_(file) {
  Check(sqlite3_prepare_v3(connection_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                           &statement_, nullptr));
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::Check(int code) {
  if (code != SQLITE_OK) ThrowSqlite(connection_, code, file_);
}

Statement& Statement::Bind(std::int64_t value) {
  Check(sqlite3_bind_int64(statement_, next_++, value));
  return *this;
}

Statement& Statement::Bind(double value) {
  if (std::isnan(value)) return BindNull();
  Check(sqlite3_bind_double(statement_, next_++, value));
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  Check(sqlite3_bind_text(statement_, next_++, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::Bind(std::span<const std::byte> blob) {
  Check(sqlite3_bind_blob(statement_, next_++, blob.data(), static_cast<int>(blob.size()), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::BindNull() {
  Check(sqlite3_bind_null(statement_, next_++));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();  // ends the read transaction now: an open one would keep the WAL from being emptied
    return false;
  }
  Reset();
  ThrowSqlite(connection_, code, file_);
}

void Statement::Run() {
  while (Step()) {
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  next_ = 1;
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::Real(int column) const {
  return IsNull(column) ? std::numeric_limits<double>::quiet_NaN()
                        : sqlite3_column_double(statement_, column);
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
              : std::string();
}

std::vector<std::byte> Statement::Blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data ? std::vector<std::byte>(data, data + size) : std::vector<std::byte>();
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Database::Database(std::filesystem::path file, Mode mode) : file_(std::move(file)) {
  // A reader opens the file for writing too where it may: only then can it recover the journal of a killed
  // writer. query_only keeps it from changing any data.
  const int create = mode == Mode::kWrite ? SQLITE_OPEN_CREATE : 0;
  int code = sqlite3_open_v2(file_.c_str(), &connection_,
                             SQLITE_OPEN_READWRITE | create | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(connection_);
    sqlite3_close(connection_);
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot open the run store " + file_.string(),
                 .why = why,
                 .fix = "check that its folder exists and can be written"});
  }
  sqlite3_busy_timeout(connection_, kBusyTimeoutMs);
  sqlite3_extended_result_codes(connection_, 1);
  try {
    if (mode == Mode::kRead) Execute("PRAGMA query_only = ON");
  } catch (...) {
    sqlite3_close(connection_);
    throw;
  }
}

Database::~Database() {
  statements_.clear();
  sqlite3_close(connection_);
}

void Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) ThrowSqlite(connection_, code, file_);
}

Statement& Database::Prepare(std::string_view sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end())
    found = statements_.emplace(std::string(sql), std::make_unique<Statement>(connection_, sql, file_)).first;
  found->second->Reset();
  return *found->second;
}

std::int64_t Database::LastInsertId() const { return sqlite3_last_insert_rowid(connection_); }

}  // namespace forge::track
