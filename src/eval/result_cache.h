// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "eval/task_result.h"

namespace forge::eval {

/// Results of tasks by what they depend on: a folder with one folder for each,
///   <task>-<first 16 digits of the key>/result.json   {"key", "settings", "result"}
///   <task>-<first 16 digits of the key>/items.jsonl   the log
/// that is complete when it is there. Settings are a JSON object (model hash, task, data, examples, seed,
/// ..); the key is their sha256.
class ResultCache {
 public:
  explicit ResultCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Where the result for `settings` is or will be.
  std::filesystem::path FolderOf(const std::string& task, const io::Json& settings) const;
  /// The result without its items; nullopt if it is not there or cannot be read (it is then measured again).
  std::optional<TaskResult> Find(const std::string& task, const io::Json& settings) const;
  /// Replaces what is there. Throws Error(kEnvironment) for a full disk and the like.
  void Keep(const io::Json& settings, const TaskResult& result) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace forge::eval
