// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/task_file.h"

namespace forge::eval {

/// The documents of one split of a task.
struct TaskData {
  std::string split;
  std::filesystem::path path;
  std::string sha256;  // of the file as it is stored
  std::vector<io::OrderedJson> documents;
};

/// Reads the first of the task's data files for `split` that is there, below the first of `folders` that has
/// one. JSON lines or a JSON array of objects, or text (DataFile), plain or packed (.gz, .bz2). Throws
/// Error(kInput): when none is there, with the command that fetches it; and for what cannot be read, with the
/// line.
TaskData LoadTaskData(const TaskFile& task, const std::string& split,
                      const std::vector<std::filesystem::path>& folders);

}  // namespace forge::eval
