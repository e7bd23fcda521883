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
std::optional<std::string> LimitProblem(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fmt::format("it has {} bytes; at most {} make sense here", text.size(), limits.max_bytes);
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
        return fmt::format("at byte {}: values lie more than {} deep", i, limits.max_depth);
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && ++values > limits.max_values) {
      return fmt::format("at byte {}: it has more than {} values", i, limits.max_values);
    }
  }
  return std::nullopt;
}

/// The parser's message without its class name, and without the line where there is only one:
/// "parse error at column 16: syntax error while parsing value - unexpected end of input".
std::string Explain(std::string message, std::string_view text) {
  if (const std::size_t end = message.find("] "); message.starts_with('[') && end != std::string::npos)
    message.erase(0, end + 2);
  constexpr std::string_view kFirstLine = "line 1, ";
  if (const std::size_t line = message.find(kFirstLine);
      line != std::string::npos && text.find('\n') == std::string_view::npos)
    message.erase(line, kFirstLine.size());
  return message;
}

}  // namespace

std::optional<std::string> JsonProblem(std::string_view text, const JsonLimits& limits, Json& value) {
  if (auto problem = LimitProblem(text, limits)) return problem;
  try {
    value = Json::parse(text);
  } catch (const Json::exception& error) {
    return Explain(error.what(), text);
  }
  return std::nullopt;
}

Json ParseJson(std::string_view text, const std::string& source, const JsonLimits& limits) {
  Json value;
  if (auto problem = JsonProblem(text, limits, value)) Fail(source, std::move(*problem));
  return value;
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
