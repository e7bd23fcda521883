// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json_file.h"

namespace forge::merge {

/// Everything that is wrong with a config, found in one reading: lines "models[1].parameters.density: why".
class ConfigProblems {
 public:
  void Add(const std::string& path, std::string_view why);
  /// Notes every key of a mapping that is not `known`, with the nearest one. Notes a value that is no mapping
  /// and returns false.
  bool CheckMapping(const io::Json& value, const std::string& path, const std::vector<std::string>& known);
  /// The text under a key; empty where there is none. Notes a value that is not text, and an empty text.
  std::string Text(const io::Json& mapping, std::string_view key, const std::string& path);

  const std::vector<std::string>& lines() const { return lines_; }
  /// Throws Error(kInput) with all lines if there are any; `source` names the config.
  void ThrowIfAny(const std::string& source) const;

 private:
  std::vector<std::string> lines_;
};

/// The value under a key; nullptr where it is absent or null, which mean the same.
const io::Json* FindValue(const io::Json& mapping, std::string_view key);
/// "models[0].parameters", "weight" -> "models[0].parameters.weight"; the key alone at the top.
std::string Below(const std::string& path, std::string_view key);
/// "models", 0 -> "models[0]".
std::string Below(const std::string& path, std::size_t index);
/// The value as a message shows it: "the text "abc"", "a list", "true", "1.5".
std::string Shown(const io::Json& value);

}  // namespace forge::merge
