// SPDX-License-Identifier: Apache-2.0
#include "io/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>

#include "io/atomic_file.h"

namespace forge::io {
namespace {

/// An anchor may lie inside its own value, and anchors of anchors name a value thousands of times, so the
/// limits hold for what the text means, not for its length.
class YamlReader {
 public:
  explicit YamlReader(const JsonLimits& limits) : limits_(limits) {}

  Json Read(const YAML::Node& node, int depth = 0) {
    if (const std::string tag = node.IsDefined() ? node.Tag() : ""; tag.size() > 1 && tag[0] == '!')
      throw YAML::Exception(node.Mark(),
                            "the tag " + tag + " asks for code or types that forge does not have");
    if (depth > limits_.max_depth)
      throw YAML::Exception(node.Mark(), fmt::format("values lie more than {} deep", limits_.max_depth));
    if (++values_ > limits_.max_values)
      throw YAML::Exception(node.Mark(), fmt::format("it has more than {} values", limits_.max_values));
    switch (node.Type()) {
      case YAML::NodeType::Sequence: {
        Json array = Json::array();
        for (const YAML::Node& item : node) array.push_back(Read(item, depth + 1));
        return array;
      }
      case YAML::NodeType::Map: {
        Json object = Json::object();
        for (const auto& entry : node) object[entry.first.as<std::string>()] = Read(entry.second, depth + 1);
        return object;
      }
      case YAML::NodeType::Scalar:
        return Scalar(node);
      default:
        return nullptr;
    }
  }

 private:
  static Json Scalar(const YAML::Node& node) {
    if (node.Tag() == "!") return node.as<std::string>();  // quoted: text
    if (bool flag; YAML::convert<bool>::decode(node, flag)) return flag;
    if (std::int64_t integer; YAML::convert<std::int64_t>::decode(node, integer)) return integer;
    if (double number; YAML::convert<double>::decode(node, number)) return number;
    return node.as<std::string>();
  }

  const JsonLimits limits_;
  std::size_t values_ = 0;
};

/// Lines of a YAML text with at most one document.
struct YamlPart {
  std::string text;
  int first_line = 0;
};

/// Cuts before each line that begins with "---" and after each that begins with "...", followed by a space or
/// nothing: YAML allows these nowhere else at the start of a line (YAML 1.2, section 9.1.2). YAML::LoadAll
/// (0.7) does not end for some texts that are no YAML.
std::vector<YamlPart> SplitYaml(const std::string& text) {
  std::vector<YamlPart> parts(1);
  int line_number = 0;
  for (std::size_t start = 0; start < text.size(); ++line_number) {
    const std::size_t end = std::min(text.find('\n', start), text.size() - 1) + 1;
    const std::string_view line = std::string_view(text).substr(start, end - start);
    const bool is_mark =
        line.size() == 3 || (line.size() > 3 && std::isspace(static_cast<unsigned char>(line[3])));
    if (is_mark && line.starts_with("---")) parts.push_back({.first_line = line_number});
    parts.back().text += line;
    if (is_mark && line.starts_with("...")) parts.push_back({.first_line = line_number + 1});
    if (parts.size() > kConfigLimits.max_values)
      throw YAML::Exception(YAML::Mark::null_mark(),
                            fmt::format("it has more than {} documents", kConfigLimits.max_values));
    start = end;
  }
  return parts;
}

/// The document, with errors at the line of the whole text.
YAML::Node LoadPart(const YamlPart& part) {
  try {
    return YAML::Load(part.text);
  } catch (const YAML::Exception& error) {
    YAML::Mark mark = error.mark;
    if (!mark.is_null()) mark.line += part.first_line;
    throw YAML::Exception(mark, error.msg);
  }
}

/// What `read` makes of the text, with errors as Error.
template <class Read>
Json ReadYaml(const std::string& text, const std::string& source, Read&& read) {
  try {
    if (text.size() > kConfigLimits.max_bytes)
      throw YAML::Exception(
          YAML::Mark::null_mark(),
          fmt::format("it has {} bytes; at most {} make sense here", text.size(), kConfigLimits.max_bytes));
    YamlReader reader(kConfigLimits);
    Json json = read(reader);
    json.dump();  // yaml-cpp lets bytes through that JSON cannot hold
    return json;
  } catch (const Json::exception&) {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot read " + source,
                 .why = "it holds text that is not UTF-8",
                 .fix = "save it as UTF-8"});
  } catch (const YAML::Exception& error) {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot parse " + source,
                 .why = error.what(),
                 .fix = "the file must be valid YAML"});
  }
}

}  // namespace

Json ReadConfigFile(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension != ".yml" && extension != ".yaml") return ReadJsonFile(path);
  return ParseYaml(ReadFile(path), path.string());
}

Json ParseYaml(const std::string& text, const std::string& source) {
  return ReadYaml(text, source, [&](YamlReader& reader) { return reader.Read(YAML::Load(text)); });
}

std::vector<Json> ParseYamlDocuments(const std::string& text, const std::string& source) {
  const Json documents = ReadYaml(text, source, [&](YamlReader& reader) {
    Json values = Json::array();
    for (const YamlPart& part : SplitYaml(text)) {
      const YAML::Node node = LoadPart(part);
      if (!node.IsNull()) values.push_back(reader.Read(node));
    }
    return values;
  });
  return {documents.begin(), documents.end()};
}

std::vector<std::string> UnknownFields(const Json& json, const std::vector<std::string>& names) {
  std::vector<std::string> problems;
  for (const auto& [key, value] : json.items()) {
    if (std::find(names.begin(), names.end(), key) != names.end()) continue;
    const std::optional<std::string> nearest = NearestName(key, names);
    problems.push_back(fmt::format("there is no field \"{}\"", key) +
                       (nearest ? fmt::format(", did you mean \"{}\"?", *nearest) : ""));
  }
  return problems;
}

void ThrowWrongFields(const std::vector<std::string>& problems, const std::string& source) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the settings of " + source,
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "change these; --help lists the settings and what they take"});
}

}  // namespace forge::io
