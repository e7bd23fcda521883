// SPDX-License-Identifier: Apache-2.0
#include "merge/parameter_setting.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/nearest_name.h"

namespace forge::merge {
namespace {

using Type = ParameterRule::Type;

/// "a number from 0 to 1": what a rule takes.
std::string Accepted(const ParameterRule& rule) {
  constexpr double kAny = std::numeric_limits<double>::max();
  if (rule.type == Type::kFlag) return "true or false";
  const std::string kind = rule.type == Type::kInteger ? "a whole number" : "a number";
  if (rule.low == -kAny) return kind;
  if (rule.high == kAny) return fmt::format("{} of at least {:g}", kind, rule.low);
  return fmt::format("{} from {:g} to {:g}", kind, rule.low, rule.high);
}

/// Reads the values of one parameter.
class SettingReader {
 public:
  SettingReader(const ParameterRule& rule, ConfigProblems& problems) : rule_(rule), problems_(problems) {}

  ParameterSetting Read(const io::Json& json, const std::string& path) {
    if (json.is_object()) return {.choices = {ReadChoice(json, path)}};
    const bool has_choices = json.is_array() && !json.empty() && json.front().is_object();
    if (!has_choices) return {.choices = {{.value = ReadGradient(json, path)}}};
    ParameterSetting setting;
    for (std::size_t i = 0; i < json.size(); ++i)
      setting.choices.push_back(ReadChoice(json[i], Below(path, i)));
    return setting;
  }

 private:
  ParameterSetting::Choice ReadChoice(const io::Json& json, const std::string& path) {
    if (!problems_.CheckMapping(json, path, {"filter", "value"})) return {};
    ParameterSetting::Choice choice;
    if (const io::Json* filter = FindValue(json, "filter")) {
      if (filter->is_string())
        choice.filter = filter->get<std::string>();
      else
        problems_.Add(Below(path, "filter"),
                      fmt::format("is {}; it must be a part of a tensor's name", Shown(*filter)));
    }
    if (const io::Json* value = FindValue(json, "value"))
      choice.value = ReadGradient(*value, Below(path, "value"));
    else
      problems_.Add(path, fmt::format("has no value; it must be {}", Accepted(rule_)));
    return choice;
  }

  Gradient ReadGradient(const io::Json& json, const std::string& path) {
    Gradient gradient{.is_stepped = rule_.type == Type::kFlag};
    if (!json.is_array()) {
      gradient.points.push_back(ReadNumber(json, path));
      return gradient;
    }
    if (json.empty()) problems_.Add(path, fmt::format("is an empty list; it must be {}", Accepted(rule_)));
    if (rule_.type == Type::kInteger && json.size() > 1)
      problems_.Add(path, fmt::format("is a gradient; it must be {}", Accepted(rule_)));
    for (std::size_t i = 0; i < json.size(); ++i)
      gradient.points.push_back(ReadNumber(json[i], Below(path, i)));
    return gradient;
  }

  double ReadNumber(const io::Json& json, const std::string& path) {
    if (rule_.type == Type::kFlag && json.is_boolean()) return json.get<bool>() ? 1 : 0;
    const double value = json.is_number() ? json.get<double>() : std::nan("");
    const bool is_whole = value == std::floor(value);
    if (value >= rule_.low && value <= rule_.high && (rule_.type == Type::kNumber || is_whole)) return value;
    problems_.Add(path, fmt::format("is {}; it must be {}", Shown(json), Accepted(rule_)));
    return rule_.low;
  }

  const ParameterRule& rule_;
  ConfigProblems& problems_;
};

/// Why a method does not take a parameter that it does not have.
std::string WhyUnknown(const MethodInfo& method, const std::string& parameter) {
  std::vector<std::string> own, others;
  for (const ParameterRule& rule : method.parameters) own.push_back(rule.name);
  for (const MethodInfo& other : MethodTable())
    if (other.Find(parameter) != nullptr) others.push_back(other.name);
  if (!others.empty())
    return fmt::format("{} does not have it; of the methods, these do: {}", method.name,
                       fmt::join(others, ", "));
  if (const auto nearest = NearestName(parameter, own))
    return fmt::format("unknown; did you mean \"{}\"?", *nearest);
  return own.empty() ? fmt::format("unknown; {} has no parameters", method.name)
                     : fmt::format("unknown; {} has {}", method.name, fmt::join(own, ", "));
}

}  // namespace

double Gradient::At(double t) const {
  const std::size_t last = points.size() - 1;
  const double position = t * static_cast<double>(last);
  const auto index = static_cast<std::size_t>(position);
  if (is_stepped) return points[index];
  // In this form and order, for the bits of mergekit's values: a one ulp change of a density can keep another
  // element.
  const double fraction = position - static_cast<double>(index);
  return (1 - fraction) * points[index] + fraction * points[std::min(last, index + 1)];
}

std::optional<double> Resolve(const ParameterSetting& setting, std::string_view tensor, double t) {
  for (const ParameterSetting::Choice& choice : setting.choices)
    if (choice.filter == "*" || tensor.find(choice.filter) != std::string_view::npos)
      return choice.value.At(t);
  return std::nullopt;
}

std::optional<double> Lookup(std::string_view parameter, const std::vector<const Parameters*>& scopes,
                             std::string_view tensor, double t) {
  for (const Parameters* scope : scopes) {
    if (scope == nullptr) continue;
    const auto found = scope->find(parameter);
    if (found == scope->end()) continue;
    if (const auto value = Resolve(found->second, tensor, t)) return value;
  }
  return std::nullopt;
}

Parameters ReadParameters(const io::Json& json, const std::string& path, const MethodInfo* method,
                          ParameterScope scope, ConfigProblems& problems) {
  if (!json.is_object()) {
    problems.Add(path, fmt::format("is {}; it must be a mapping of parameters", Shown(json)));
    return {};
  }
  Parameters parameters;
  if (method == nullptr) return parameters;
  for (const auto& [name, value] : json.items()) {
    const std::string at = Below(path, name);
    const ParameterRule* rule = method->Find(name);
    if (rule == nullptr)
      problems.Add(at, WhyUnknown(*method, name));
    else if (scope == ParameterScope::kModel && !rule->per_model)
      problems.Add(at, "all models share it; move it to the parameters of the slice or of the merge");
    else
      parameters[name] = SettingReader(*rule, problems).Read(value, at);
  }
  return parameters;
}

}  // namespace forge::merge
