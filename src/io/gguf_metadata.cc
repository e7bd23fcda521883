// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <utility>

#include "io/gguf.h"

namespace forge::io {

std::optional<std::int64_t> FindInteger(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  return std::visit(
      [](const auto& value) -> std::optional<std::int64_t> {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if (std::cmp_greater(value, std::numeric_limits<std::int64_t>::max())) return std::nullopt;
          return static_cast<std::int64_t>(value);
        }
        return std::nullopt;
      },
      found->second);
}

std::optional<double> FindNumber(const GgufMetadata& metadata, const std::string& key) {
  if (const auto integer = FindInteger(metadata, key)) return static_cast<double>(*integer);
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  if (const auto* value = std::get_if<float>(&found->second)) return *value;
  if (const auto* value = std::get_if<double>(&found->second)) return *value;
  return std::nullopt;
}

std::optional<bool> FindBool(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end() || !std::holds_alternative<bool>(found->second)) return std::nullopt;
  return std::get<bool>(found->second);
}

const std::string* FindText(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
}

const std::vector<std::string>* FindTexts(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  const auto* array = found == metadata.end() ? nullptr : std::get_if<GgufArray>(&found->second);
  return array == nullptr ? nullptr : std::get_if<std::vector<std::string>>(array);
}

std::optional<std::vector<std::int64_t>> FindIntegers(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  const auto* array = found == metadata.end() ? nullptr : std::get_if<GgufArray>(&found->second);
  if (array == nullptr) return std::nullopt;
  return std::visit(
      [](const auto& values) -> std::optional<std::vector<std::int64_t>> {
        using Vector = std::decay_t<decltype(values)>;
        if constexpr (!std::is_same_v<Vector, std::monostate>) {
          using T = typename Vector::value_type;
          if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
            return std::vector<std::int64_t>(values.begin(), values.end());
        }
        return std::nullopt;
      },
      *array);
}

}  // namespace forge::io
