// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace forge {

/// Typed configs: a struct lists its fields once, in a template member function
///   template <class Visitor> void VisitFields(Visitor&& visit) {
///     visit("generations", generations, InRange{1, 100'000}, "Generations to run.");
///   }
/// and gets flags, JSON, help, range checks and docs/flags.md from that list. Field types: bool, int,
/// std::uint64_t, double, std::string, std::vector<std::string>. Names are snake_case; the flag is the same
/// with dashes.

/// A number must lie in [low, high].
struct InRange {
  double low, high;
};
/// A text must be one of these words.
struct OneOf {
  std::vector<std::string> words;
};
/// Nothing to check.
struct AnyValue {};

inline std::string Describe(const InRange& range) {
  return fmt::format("{:g} to {:g}", range.low, range.high);
}
inline std::string Describe(const OneOf& rule) { return fmt::format("{}", fmt::join(rule.words, ", ")); }
inline std::string Describe(const AnyValue&) { return ""; }

/// The value as it is shown to the user.
template <class T>
std::string ShowValue(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, double>)
    return fmt::format("{:g}", value);
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return fmt::format("{}", fmt::join(value, ","));
  else
    return fmt::format("{}", value);
}

template <class T>
bool Fits(const T& value, const InRange& range) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(value) >= range.low && static_cast<double>(value) <= range.high;
  else
    return true;
}
inline bool Fits(const std::string& value, const OneOf& rule) {
  return std::find(rule.words.begin(), rule.words.end(), value) != rule.words.end();
}
inline bool Fits(const std::vector<std::string>& values, const OneOf& rule) {
  return std::all_of(values.begin(), values.end(),
                     [&](const std::string& value) { return Fits(value, rule); });
}
template <class T>
bool Fits(const T&, const AnyValue&) {
  return true;
}

/// "population_size is 2; it must be 4 to 4096", if it is out of range.
template <class T, class Rule>
std::optional<std::string> RangeProblem(std::string_view name, const T& value, const Rule& rule) {
  if (Fits(value, rule)) return std::nullopt;
  return fmt::format("{} is {}; it must be {}", name, ShowValue(value), Describe(rule));
}

/// The RangeProblem of each field that has one.
template <class Config>
std::vector<std::string> Problems(Config config) {
  std::vector<std::string> problems;
  config.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view) {
    if (const auto problem = RangeProblem(name, value, rule)) problems.push_back(*problem);
  });
  return problems;
}

}  // namespace forge
