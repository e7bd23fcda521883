// SPDX-License-Identifier: Apache-2.0
#include "merge/config_problems.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/nearest_name.h"

namespace forge::merge {

void ConfigProblems::Add(const std::string& path, std::string_view why) {
  lines_.push_back(path.empty() ? std::string(why) : fmt::format("{}: {}", path, why));
}

bool ConfigProblems::CheckMapping(const io::Json& value, const std::string& path,
                                  const std::vector<std::string>& known) {
  if (!value.is_object()) {
    Add(path, fmt::format("is {}; it must be a mapping of {}", Shown(value), fmt::join(known, ", ")));
    return false;
  }
  for (const auto& [key, unused] : value.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const auto nearest = NearestName(key, known);
    Add(Below(path, key), nearest ? fmt::format("unknown; did you mean \"{}\"?", *nearest)
                                  : fmt::format("unknown; here are {}", fmt::join(known, ", ")));
  }
  return true;
}

std::string ConfigProblems::Text(const io::Json& mapping, std::string_view key, const std::string& path) {
  const io::Json* value = FindValue(mapping, key);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    Add(Below(path, key), fmt::format("is {}; it must be text (in quotes)", Shown(*value)));
    return {};
  }
  std::string text = value->get<std::string>();
  if (text.empty()) Add(Below(path, key), "is an empty text");
  return text;
}

void ConfigProblems::ThrowIfAny(const std::string& source) const {
  if (lines_.empty()) return;
  throw Error({.what = "cannot merge as " + source + " says",
               .why = fmt::format("{}", fmt::join(lines_, "; ")),
               .fix = "change these; forge merge --methods lists the methods and their parameters"});
}

const io::Json* FindValue(const io::Json& mapping, std::string_view key) {
  const auto found = mapping.find(std::string(key));
  return found == mapping.end() || found->is_null() ? nullptr : &*found;
}

std::string Below(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

std::string Below(const std::string& path, std::size_t index) { return fmt::format("{}[{}]", path, index); }

std::string Shown(const io::Json& value) {
  if (value.is_array()) return value.empty() ? "an empty list" : "a list";
  if (value.is_object()) return "a mapping";
  if (value.is_null()) return "empty";
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return "not finite";
  return (value.is_string() ? "the text " : "") + value.dump();
}

}  // namespace forge::merge
