// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace forge::track {

/// One prepared SQLite statement: bind in order, then Step row by row, then read columns in order.
class Statement {
 public:
  Statement(sqlite3* connection, std::string_view sql, const std::filesystem::path& file);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Bind(std::int64_t value);
  /// NaN is stored as NULL (SQLite has no NaN); the infinities are kept.
  Statement& Bind(double value);
  Statement& Bind(std::string_view text);
  Statement& Bind(std::span<const std::byte> blob);
  Statement& BindNull();

  /// True while there is a row. Throws Error(kEnvironment) when the disk is full or the file is locked too
  /// long.
  bool Step();
  /// Steps once, for statements that return nothing; the statement can be used again afterwards.
  void Run();
  /// Makes it ready for the next use.
  void Reset();

  std::int64_t Int(int column) const;
  double Real(int column) const;  // NULL gives NaN
  std::string Text(int column) const;
  std::vector<std::byte> Blob(int column) const;
  bool IsNull(int column) const;

 private:
  void Check(int code);

  sqlite3* connection_;
  sqlite3_stmt* statement_ = nullptr;
  std::filesystem::path file_;
  int next_ = 1;
};

/// One connection to one SQLite file, with its statements kept for reuse. Not thread-safe.
class Database {
 public:
  enum class Mode { kRead, kWrite };
  /// kWrite creates the file; kRead needs it and never changes data. A reader needs a little disk space for
  /// an index beside the file. Where there is none (a full disk, or one that is only readable) and no
  /// journal, the file alone is whole: it is read as it is then, and frozen(). Every wait for another writer
  /// is limited to 30 s.
  Database(std::filesystem::path file, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs statements that return nothing.
  void Execute(const std::string& sql);
  /// A ready statement; the reference is valid as long as the database. `sql` is the key of the cache.
  Statement& Prepare(std::string_view sql);
  std::int64_t LastInsertId() const;
  /// What others write from now on is not seen.
  bool frozen() const { return frozen_; }
  const std::filesystem::path& file() const { return file_; }

 private:
  void OpenToRead();
  void OpenConnection(const std::string& name, int flags);
  void Close();

  std::filesystem::path file_;
  sqlite3* connection_ = nullptr;
  bool frozen_ = false;
  std::map<std::string, std::unique_ptr<Statement>, std::less<>> statements_;
};

}  // namespace forge::track
