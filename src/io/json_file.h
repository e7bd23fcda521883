// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace forge::io {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // objects keep the order of their keys

/// What a JSON text may hold at most. It is checked before anything is built, so a file that is made to fill
/// memory (a value takes up to 100 bytes) or the stack fails at once.
struct JsonLimits {
  std::uint64_t max_bytes = 256 << 20;
  std::size_t max_values = 8'000'000;  // a tokenizer.json of 256 000 tokens has 2.5 million
  int max_depth = 128;
};

/// For files that describe something: config.json, adapter_config.json, generation_config.json.
inline constexpr JsonLimits kConfigLimits = {.max_bytes = 4 << 20, .max_values = 100'000};

/// Parses JSON into `value`, or says why not: where, and what was expected.
std::optional<std::string> JsonProblem(std::string_view text, const JsonLimits& limits, Json& value);
/// The same; Error(kInput) names `source` and the problem.
Json ParseJson(std::string_view text, const std::string& source, const JsonLimits& limits = {});
/// Throws Error(kInput) too if the file cannot be read.
Json ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits = {});
/// Two spaces of indentation, keys sorted, a newline at the end; atomic.
void WriteJsonFile(const std::filesystem::path& path, const Json& value);

}  // namespace forge::io
