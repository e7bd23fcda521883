// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <set>

#include "base/config_field.h"
#include "base/error.h"
#include "base/nearest_name.h"
#include "io/json_file.h"

namespace forge::io {

/// A .json, .yml or .yaml file as JSON. Error(kInput) with file, line and column where it cannot be parsed.
Json ReadConfigFile(const std::filesystem::path& path);

template <class Config>
Json ConfigToJson(Config config) {
  Json json = Json::object();
  config.VisitFields([&](std::string_view name, auto& value, const auto&, std::string_view) {
    json[std::string(name)] = value;
  });
  return json;
}

template <class Config>
std::vector<std::string> FieldNames(Config config) {
  std::vector<std::string> names;
  config.VisitFields(
      [&](std::string_view name, auto&, const auto&, std::string_view) { names.emplace_back(name); });
  return names;
}

/// Throws Error(kInput) for a field of `json` that is not in `names`, offering the nearest name.
void CheckFieldNames(const Json& json, const std::vector<std::string>& names, const std::string& source);
[[noreturn]] void ThrowWrongFieldType(std::string_view field, const Json& value, const std::string& source);

/// Sets the fields that `json` has. With `strict`, fields that the config does not know are refused.
template <class Config>
void ApplyConfigJson(Config& config, const Json& json, const std::string& source, bool strict = true) {
  if (strict) CheckFieldNames(json, FieldNames(config), source);
  config.VisitFields([&](std::string_view name, auto& value, const auto&, std::string_view) {
    const auto found = json.find(std::string(name));
    if (found == json.end()) return;
    using T = std::decay_t<decltype(value)>;
    const bool fits = std::is_same_v<T, bool>          ? found->is_boolean()
                      : std::is_same_v<T, double>      ? found->is_number()
                      : std::is_integral_v<T>          ? found->is_number_integer()
                      : std::is_same_v<T, std::string> ? found->is_string()
                                                       : found->is_array();
    if (!fits) ThrowWrongFieldType(name, *found, source);
    try {
      value = found->template get<T>();
    } catch (const Json::exception&) {
      ThrowWrongFieldType(name, *found, source);
    }
  });
}

/// Throws Error(kUsage) with every field that is out of range.
template <class Config>
void CheckConfigRanges(const Config& config, const std::string& source) {
  const std::vector<std::string> problems = Problems(config);
  if (problems.empty()) return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "cannot use the settings of " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "change these values; --help shows the ranges"});
}

}  // namespace forge::io
