// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace forge::text {

/// How to take what JSON can write but UTF-8 cannot hold.
enum class JsonBytes {
  kStrict,  // bytes that are not UTF-8 and lone surrogates are errors
  kAny  // such bytes stay; the escapes \udc80 to \udcff are the bytes 80 to ff (as Python's surrogateescape
        // writes them), and any other lone surrogate becomes its three bytes
};

/// What is wrong with a piece of JSON, and where.
struct JsonProblem {
  std::size_t offset;
  std::string what;
};

/// Reads the JSON string whose opening quote is at `position`, and moves that past the closing one. Sets
/// `text` to its bytes: a view into `json` if nothing is escaped, else into `buffer`. The cost is the length
/// of the string.
std::optional<JsonProblem> ReadJsonString(std::string_view json, std::size_t& position, JsonBytes bytes,
                                          std::string_view& text, std::string& buffer);

/// Adds `text` as a JSON string with its quotes, in one line whatever a reader takes for the end of one.
/// Bytes that are not UTF-8 become \udc80 to \udcff, which ReadJsonString with kAny turns back into the
/// bytes.
void AppendJsonString(std::string_view text, std::string& json);

/// Past white space.
std::size_t SkipJsonSpace(std::string_view json, std::size_t position);

/// Reads the integer at `position`, and moves that past it.
std::optional<JsonProblem> ReadJsonInteger(std::string_view json, std::size_t& position, long long& value);

}  // namespace forge::text
