// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <span>

#include "base/error.h"
#include "io/sha256.h"
#include "track/schema.h"
#include "track/store_core.h"

namespace forge::track {
namespace {

std::string Checksum(const std::string& key, const std::string& tensor, const std::string& value) {
  const std::string all = key + "\n" + tensor + "\n" + value;
  return io::Sha256(std::as_bytes(std::span(all)));
}

}  // namespace

void Store::KeepTensorStatistics(const std::string& key, const std::string& tensor, const Json& value) {
  Transaction unit(*this);
  const std::string text = DumpJson(value);
  const std::string checksum = Checksum(key, tensor, text);
  core_->database
      .Prepare("INSERT OR IGNORE INTO tensor_statistics(key, tensor, value, checksum) VALUES(?, ?, ?, ?)")
      .Bind(key)
      .Bind(tensor)
      .Bind(text)
      .Bind(checksum)
      .Run();
  unit.Commit();
}

std::optional<Json> Store::FindTensorStatistics(const std::string& key, const std::string& tensor) {
  const std::lock_guard lock(core_->mutex);
  if (SchemaVersion(core_->database) < kFirstVersionWithTensorStatistics) return std::nullopt;
  Statement& row =
      core_->database.Prepare("SELECT value, checksum FROM tensor_statistics WHERE key = ? AND tensor = ?");
  if (!row.Bind(key).Bind(tensor).Step()) return std::nullopt;
  const std::string text = row.Text(0), checksum = row.Text(1);
  row.Reset();
  if (checksum != Checksum(key, tensor, text))
    throw Error(
        {.kind = ErrorKind::kInput,
         .what = fmt::format("cannot use what {} keeps of {}", core_->database.file().string(), tensor),
         .why = "its row of tensor_statistics is damaged: the checksum is another one",
         .fix = "delete the row; it is made again"});
  return ParseColumn(text);
}

void Store::ForgetTensorStatistics(const std::string& key, const std::string& tensor) {
  Transaction unit(*this);
  core_->database.Prepare("DELETE FROM tensor_statistics WHERE key = ? AND tensor = ?")
      .Bind(key)
      .Bind(tensor)
      .Run();
  unit.Commit();
}

}  // namespace forge::track
