// SPDX-License-Identifier: Apache-2.0
#include "io/json_file.h"

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::io {

Json ParseJson(std::string_view text, const std::string& source) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot parse " + source,
                 .why = error.what(),
                 .fix = "the file must be valid JSON; copy or write it again"});
  }
}

Json ReadJsonFile(const std::filesystem::path& path) { return ParseJson(ReadFile(path), path.string()); }

void WriteJsonFile(const std::filesystem::path& path, const Json& value) {
  WriteFileAtomically(path, value.dump(2) + "\n");
}

}  // namespace forge::io
