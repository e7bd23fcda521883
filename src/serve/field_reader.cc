// SPDX-License-Identifier: Apache-2.0
#include "serve/field_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest_name.h"

namespace forge::serve {

void FieldProblems::Add(std::string field, std::string sentence, std::string code) {
  items_.push_back({std::move(field), std::move(sentence), std::move(code)});
}

std::optional<ApiError> FieldProblems::Report() const {
  if (items_.empty()) return std::nullopt;
  constexpr std::size_t kMostShown = 8;
  std::string message;
  for (std::size_t i = 0; i < std::min(items_.size(), kMostShown); ++i)
    message += (i == 0 ? "" : "; ") + items_[i].sentence;
  if (items_.size() > kMostShown) message += fmt::format("; and {} more", items_.size() - kMostShown);
  return ApiError{.message = message, .param = items_[0].field, .code = items_[0].code};
}

std::string TypeWord(const io::Json& value) {
  if (value.is_string()) return "a string";
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_boolean()) return "true or false";
  if (value.is_null()) return "null";
  return value.is_number_float() ? "a number with a fraction" : "a whole number";
}

const io::Json* FieldReader::Find(const std::string& name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void FieldReader::Problem(const std::string& name, const std::string& sentence, const std::string& code) {
  problems_.Add(prefix_ + name, prefix_ + name + " " + sentence, code);
}

void FieldReader::Number(const std::string& name, double& value, double low, double high) {
  const io::Json* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_number()) return Problem(name, "must be a number, not " + TypeWord(*found));
  const auto number = found->get<double>();
  if (!(number >= low && number <= high))
    return Problem(name, fmt::format("is {:g}; it must be {:g} to {:g}", number, low, high));
  value = number;
}

void FieldReader::Integer(const std::string& name, std::optional<std::int64_t>& value, std::int64_t low,
                          std::int64_t high) {
  const io::Json* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_number_integer()) return Problem(name, "must be a whole number, not " + TypeWord(*found));
  const bool is_too_large =
      found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  if (is_too_large || found->get<std::int64_t>() < low || found->get<std::int64_t>() > high)
    return Problem(name, fmt::format("is {}; it must be {} to {}", found->dump(), low, high));
  value = found->get<std::int64_t>();
}

void FieldReader::Boolean(const std::string& name, bool& value) {
  const io::Json* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_boolean()) return Problem(name, "must be true or false, not " + TypeWord(*found));
  value = found->get<bool>();
}

void FieldReader::Text(const std::string& name, std::string& value) {
  const io::Json* found = Find(name);
  if (found == nullptr) return;
  if (!found->is_string()) return Problem(name, "must be a string, not " + TypeWord(*found));
  value = found->get<std::string>();
}

void FieldReader::Neutral(const std::string& name, const std::vector<io::Json>& values) {
  const io::Json* found = Find(name);
  if (found == nullptr || std::find(values.begin(), values.end(), *found) != values.end()) return;
  Problem(name, "is not supported by forge serve; leave it out", "unsupported_parameter");
}

void FieldReader::RefuseTheRest() {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    constexpr std::size_t kMostShown = 64;  // bytes of a name that may be anything
    if (name.size() > kMostShown) {
      problems_.Add(prefix_, "a field with a name of " + std::to_string(name.size()) + " bytes is not known",
                    "unknown_parameter");
      continue;
    }
    const std::optional<std::string> nearest = NearestName(name, known_);
    Problem(name, "is not a field that is known here" + (nearest ? "; did you mean " + *nearest + "?" : ""),
            "unknown_parameter");
  }
}

}  // namespace forge::serve
