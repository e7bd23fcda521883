// SPDX-License-Identifier: Apache-2.0
#include "io/json_file.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::io {
namespace {

[[noreturn]] void Fail(const std::string& source, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot parse " + source,
               .why = std::move(why),
               .fix = "the file must be valid JSON; copy or write it again"});
}

/// Counts the values and the depth by their punctuation; what is not JSON is left to the parser.
void CheckLimits(std::string_view text, const std::string& source, const JsonLimits& limits) {
  std::size_t values = 1;
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i)
        if (text[i] == '\\') ++i;
    } else if (c == '[' || c == '{') {
      ++values;
      if (++depth > limits.max_depth)
        Fail(source, fmt::format("at byte {}: values lie more than {} deep", i, limits.max_depth));
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && ++values > limits.max_values) {
      Fail(source, fmt::format("at byte {}: it has more than {} values", i, limits.max_values));
    }
  }
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& source, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    Fail(source, fmt::format("it has {} bytes; at most {} make sense here", text.size(), limits.max_bytes));
  CheckLimits(text, source, limits);
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    Fail(source, error.what());
  }
}

Json ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits) {
  std::error_code unknown;  // a file that is not there is ReadFile's matter
  const std::uintmax_t bytes = std::filesystem::file_size(path, unknown);
  if (!unknown && bytes > limits.max_bytes)
    Fail(path.string(), fmt::format("it has {} bytes; at most {} make sense here", bytes, limits.max_bytes));
  return ParseJson(ReadFile(path), path.string(), limits);
}

void WriteJsonFile(const std::filesystem::path& path, const Json& value) {
  WriteFileAtomically(path, value.dump(2) + "\n");
}

}  // namespace forge::io
