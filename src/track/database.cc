// SPDX-License-Identifier: Apache-2.0
#include "track/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace forge::track {
namespace {

constexpr int kBusyTimeoutMs = 30'000;  // longer than any transaction of ours by three orders of magnitude

bool IsDiskFull(sqlite3* connection, int code) {
  return (code & 0xff) == SQLITE_FULL ||
         ((code & 0xff) == SQLITE_IOERR && sqlite3_system_errno(connection) == ENOSPC);
}

[[noreturn]] void ThrowSqlite(sqlite3* connection, int code, const std::filesystem::path& file) {
  const int primary = code & 0xff;
  const bool damaged = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
  const bool full = IsDiskFull(connection, code);
  throw Error({.kind = damaged ? ErrorKind::kInput : ErrorKind::kEnvironment,
               .what = "cannot use the run store " + file.string(),
               .why = full ? "the disk is full" : sqlite3_errmsg(connection),
               .fix = full ? "free some disk space; what is in the store stays"
                      : damaged
                          ? "move the file away; the model folders of its runs stay usable"
                          : "check that the folder can be written and no other program holds the file"});
}

/// "file:" name of the path, for SQLITE_OPEN_URI.
std::string FrozenUri(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    if (c == '%' || c == '?' || c == '#')
      uri += fmt::format("%{:02x}", c);
    else
      uri += c;
  }
  return uri + "?immutable=1";
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
  if (mode == Mode::kWrite)
    OpenConnection(file_.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  else
    OpenToRead();
}

void Database::OpenToRead() {
  // A reader opens the file for writing too where it may: only then can it recover the journal of a killed
  // writer. query_only keeps it from changing any data.
  OpenConnection(file_.string(), SQLITE_OPEN_READWRITE);
  const int code =
      sqlite3_exec(connection_, "PRAGMA query_only = ON; PRAGMA user_version", nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return;
  std::error_code none;
  const std::uintmax_t journal = std::filesystem::file_size(file_.string() + "-wal", none);
  const int primary = code & 0xff;
  const bool no_index =
      primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY || IsDiskFull(connection_, code);
  if (no_index && (none || journal == 0)) {
    Close();
    frozen_ = true;
    OpenConnection(FrozenUri(file_), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    return;
  }
  try {
    ThrowSqlite(connection_, code, file_);
  } catch (const Error&) {
    Close();
    throw;
  }
}

Database::~Database() { Close(); }

void Database::OpenConnection(const std::string& name, int flags) {
  const int code = sqlite3_open_v2(name.c_str(), &connection_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(connection_);
    Close();
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot open the run store " + file_.string(),
                 .why = why,
                 .fix = "check that its folder exists and can be written"});
  }
  sqlite3_busy_timeout(connection_, kBusyTimeoutMs);
  sqlite3_extended_result_codes(connection_, 1);
}

void Database::Close() {
  statements_.clear();
  sqlite3_close(connection_);
  connection_ = nullptr;
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
