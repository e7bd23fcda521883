// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <utility>

#include "base/config_field.h"
#include "base/error.h"
#include "base/nearest_name.h"
#include "io/json_file.h"

namespace forge::io {

/// A .json, .yml or .yaml file as JSON. Error(kInput) with file, line and column where it cannot be parsed,
/// or where it goes beyond kConfigLimits.
Json ReadConfigFile(const std::filesystem::path& path);
/// YAML text as JSON; `source` names it in errors. Tags that ask for code (!function) are refused,
/// and anchors that lie inside themselves; the limits count each use of an anchor.
Json ParseYaml(const std::string& text, const std::string& source);
/// All documents of the text (separated by lines of ---) that are not null, under the limits of one.
/// ParseYaml reads the first only.
std::vector<Json> ParseYamlDocuments(const std::string& text, const std::string& source);

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

/// One sentence for each field of `json` that is not in `names`, with the nearest name.
std::vector<std::string> UnknownFields(const Json& json, const std::vector<std::string>& names);
[[noreturn]] void ThrowWrongFields(const std::vector<std::string>& problems, const std::string& source);

/// Whether the value can be held by a field of type T without a change.
template <class T>
bool HasType(const Json& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value.is_boolean();
  else if constexpr (std::is_same_v<T, double>)
    return value.is_number();
  else if constexpr (std::is_same_v<T, std::string>)
    return value.is_string();
  else if constexpr (std::is_integral_v<T>)
    return value.is_number_unsigned()
               ? std::in_range<T>(value.get<std::uint64_t>())
               : value.is_number_integer() && std::in_range<T>(value.get<std::int64_t>());
  else
    return value.is_array() &&
           std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); });
}

/// Sets the fields that `json` has. Throws Error(kInput) with every field that has the wrong type or is out
/// of range, and, with `strict`, every field that the config does not know.
template <class Config>
void ApplyConfigJson(Config& config, const Json& json, const std::string& source, bool strict = true) {
  if (!json.is_object()) ThrowWrongFields({"they are not an object of fields"}, source);
  std::vector<std::string> problems;
  if (strict) problems = UnknownFields(json, FieldNames(config));
  config.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view) {
    using T = std::decay_t<decltype(value)>;
    const auto found = json.find(std::string(name));
    if (found == json.end()) return;
    if (!HasType<T>(*found)) {
      problems.push_back(fmt::format("the value {} of \"{}\" has the wrong type", found->dump(), name));
      return;
    }
    found->get_to(value);
    if (const auto problem = RangeProblem(name, value, rule)) problems.push_back(*problem);
  });
  if (!problems.empty()) ThrowWrongFields(problems, source);
}

}  // namespace forge::io
