// SPDX-License-Identifier: Apache-2.0
#include "io/config_file.h"

#include <yaml-cpp/yaml.h>

#include "io/atomic_file.h"

namespace forge::io {
namespace {

Json FromYaml(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Sequence: {
      Json array = Json::array();
      for (const YAML::Node& item : node) array.push_back(FromYaml(item));
      return array;
    }
    case YAML::NodeType::Map: {
      Json object = Json::object();
      for (const auto& entry : node) object[entry.first.as<std::string>()] = FromYaml(entry.second);
      return object;
    }
    case YAML::NodeType::Scalar: {
      if (node.Tag() == "!") return node.as<std::string>();  // quoted: text
      if (bool flag; YAML::convert<bool>::decode(node, flag)) return flag;
      if (std::int64_t integer; YAML::convert<std::int64_t>::decode(node, integer)) return integer;
      if (double number; YAML::convert<double>::decode(node, number)) return number;
      return node.as<std::string>();
    }
    default:
      return nullptr;
  }
}

}  // namespace

Json ReadConfigFile(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension != ".yml" && extension != ".yaml") return ReadJsonFile(path);
  try {
    return FromYaml(YAML::Load(ReadFile(path)));
  } catch (const YAML::Exception& error) {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot parse " + path.string(),
                 .why = error.what(),
                 .fix = "the file must be valid YAML"});
  }
}

void CheckFieldNames(const Json& json, const std::vector<std::string>& names, const std::string& source) {
  if (!json.is_object())
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the settings of " + source,
                 .why = "they are not an object of fields",
                 .fix = "write { \"field\": value, .. }"});
  for (const auto& [key, value] : json.items()) {
    if (std::find(names.begin(), names.end(), key) != names.end()) continue;
    const std::optional<std::string> nearest = NearestName(key, names);
    throw Error(
        {.kind = ErrorKind::kInput,
         .what = "unknown field \"" + key + "\" in " + source,
         .why = "forge refuses what it does not know, so that a misspelt setting is not lost",
         .fix = nearest ? "did you mean \"" + *nearest + "\"?" : "remove it; --help lists the settings"});
  }
}

void ThrowWrongFieldType(std::string_view field, const Json& value, const std::string& source) {
  throw Error({.kind = ErrorKind::kInput,
               .what = fmt::format("cannot use the field \"{}\" of {}", field, source),
               .why = fmt::format("its value {} has the wrong type", value.dump()),
               .fix = "see --help for what the setting takes"});
}

}  // namespace forge::io
