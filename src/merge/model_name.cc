// SPDX-License-Identifier: Apache-2.0
#include "merge/model_name.h"

#include <fmt/format.h>

namespace forge::merge {
namespace {

/// "path@revision" of a text or of {path, revision}.
std::string ReadPart(const io::Json& json, const std::string& path, ConfigProblems& problems) {
  if (json.is_string()) return json.get<std::string>();
  if (!problems.CheckMapping(json, path, {"path", "revision"})) return {};
  const std::string part = problems.Text(json, "path", path);
  if (FindValue(json, "path") == nullptr) problems.Add(path, "has no path");
  const std::string revision = problems.Text(json, "revision", path);
  return revision.empty() ? part : fmt::format("{}@{}", part, revision);
}

}  // namespace

std::string ReadModelName(const io::Json& json, const std::string& path, ConfigProblems& problems) {
  if (json.is_string()) {
    std::string name = json.get<std::string>();
    if (name.empty()) problems.Add(path, "is an empty text");
    return name;
  }
  if (!json.is_object()) {
    problems.Add(path, fmt::format("is {}; it must be the path or name of a model (in quotes)", Shown(json)));
    return {};
  }
  problems.CheckMapping(json, path, {"model", "lora"});
  const io::Json* model = FindValue(json, "model");
  if (model == nullptr) {
    problems.Add(path, "has no model");
    return {};
  }
  std::string name = ReadPart(*model, Below(path, "model"), problems);
  if (const io::Json* lora = FindValue(json, "lora"))
    name += "+" + ReadPart(*lora, Below(path, "lora"), problems);
  return name;
}

std::string WithoutAdapter(const std::string& model) { return model.substr(0, model.find('+')); }

}  // namespace forge::merge
