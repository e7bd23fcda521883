// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace forge::io {

using Json = nlohmann::json;

/// Parses JSON; Error(kInput) names `source`, the byte offset and what was expected.
Json ParseJson(std::string_view text, const std::string& source);
Json ReadJsonFile(const std::filesystem::path& path);
/// Two spaces of indentation, keys sorted, a newline at the end; atomic.
void WriteJsonFile(const std::filesystem::path& path, const Json& value);

}  // namespace forge::io
