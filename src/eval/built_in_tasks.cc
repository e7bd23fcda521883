// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/nearest_name.h"
#include "eval/built_in_files.h"
#include "eval/task_file.h"
#include "io/config_file.h"

namespace forge::eval {

std::vector<std::string> BuiltInTaskNames() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kBuiltInFileCount; ++i) names.emplace_back(kBuiltInFiles[i].name);
  return names;
}

TaskFile BuiltInTask(const std::string& name) {
  for (std::size_t i = 0; i < kBuiltInFileCount; ++i)
    if (name == kBuiltInFiles[i].name)
      return ParseTask(io::ParseYaml({kBuiltInFiles[i].text, kBuiltInFiles[i].size}, name),
                       "built in: " + name);
  const auto nearest = NearestName(name, BuiltInTaskNames());
  throw Error(
      {.kind = ErrorKind::kUsage,
       .what = "there is no task " + name,
       .why = "it is neither built in nor the path of a task file (.yaml, .yml, .json) or of JSON lines",
       .fix =
           nearest ? "did you mean " + *nearest + "?" : "forge eval --list-tasks shows the built-in ones"});
}

}  // namespace forge::eval
