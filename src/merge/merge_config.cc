// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "io/config_file.h"
#include "merge/merge_order.h"
#include "merge/model_name.h"

namespace forge::merge {
namespace {

const std::vector<std::string> kTopKeys = {"merge_method",     "models",    "slices",        "modules",
                                           "base_model",       "dtype",     "out_dtype",     "parameters",
                                           "tokenizer_source", "tokenizer", "chat_template", "name"};

/// Reads one document.
class Reader {
 public:
  /// `root` is the path of the document.
  Reader(const io::Json& json, const std::string& source, std::string root, ConfigProblems& problems)
      : json_(json), root_(std::move(root)), problems_(problems) {
    config_.source = source;
  }

  MergeConfig Read() {
    if (!problems_.CheckMapping(json_, root_, kTopKeys)) return std::move(config_);
    ReadName();
    ReadMethod();
    ReadTop();
    CheckOneOf({"models", "slices", "modules"}, json_, root_);
    if (const io::Json* modules = FindValue(json_, "modules")) ReadModules(*modules);
    ReadInputs(json_, root_);
    return std::move(config_);
  }

 private:
  void ReadName() {
    config_.name = problems_.Text(json_, "name", root_);
    if (config_.name.find_first_of("/+@") != std::string::npos)
      problems_.Add(Below(root_, "name"),
                    fmt::format("\"{}\" has a /, + or @, which model names give a meaning", config_.name));
    if (!config_.name.empty()) config_.source += fmt::format(" ({})", config_.name);
  }

  void ReadMethod() {
    const std::string name = problems_.Text(json_, "merge_method", root_);
    if (FindValue(json_, "merge_method") == nullptr)
      problems_.Add(Below(root_, "merge_method"), "is missing; forge merge --methods lists the methods");
    if (name.empty()) return;
    try {
      config_.method = &GetMethod(name, config_.source);
    } catch (const Error& error) {
      problems_.Add(Below(root_, "merge_method"), error.fields().why);
    }
  }

  void ReadTop() {
    if (const io::Json* base = FindValue(json_, "base_model"))
      config_.base_model = ReadModelName(*base, Below(root_, "base_model"), problems_);
    config_.parameters = ReadSettings(json_, root_, ParameterScope::kShared);
    config_.dtype = ReadType("dtype");
    config_.out_dtype = ReadType("out_dtype");
    config_.chat_template = problems_.Text(json_, "chat_template", root_);
    config_.tokenizer = ReadTokenizerSetting(json_, root_, problems_);
    if (config_.tokenizer && config_.tokenizer->source == TokenizerSetting::Source::kBase &&
        config_.base_model.empty())
      problems_.Add(Below(root_, "tokenizer_source"), "is base, and there is no base_model");
  }

  std::optional<io::FloatType> ReadType(const char* key) {
    const io::Json* value = FindValue(json_, key);
    if (value == nullptr) return std::nullopt;
    for (const io::FloatType type : {io::FloatType::kBF16, io::FloatType::kF16, io::FloatType::kF32})
      if (*value == std::string(io::LongName(type))) return type;
    problems_.Add(Below(root_, key),
                  fmt::format("is {}; it must be bfloat16, float16 or float32", Shown(*value)));
    return std::nullopt;
  }

  Parameters ReadSettings(const io::Json& mapping, const std::string& path, ParameterScope scope) {
    const io::Json* settings = FindValue(mapping, "parameters");
    if (settings == nullptr) return {};
    return ReadParameters(*settings, Below(path, "parameters"), config_.method, scope, problems_);
  }

  void CheckOneOf(const std::vector<std::string>& keys, const io::Json& mapping, const std::string& path) {
    std::string found;
    for (const std::string& key : keys)
      if (FindValue(mapping, key) != nullptr) found += (found.empty() ? "" : " and ") + key;
    const std::string wanted = keys.size() == 3 ? "models, slices or modules" : "models or slices";
    if (found.empty())
      problems_.Add(path, fmt::format("there are no models; give one of {}", wanted));
    else if (found.find(' ') != std::string::npos)
      problems_.Add(path, fmt::format("there are {}; give one of them", found));
  }

  void ReadModules(const io::Json& modules) {
    if (!modules.is_object() || modules.size() != 1)
      return problems_.Add(
          Below(root_, "modules"),
          modules.is_object()
              ? fmt::format("there are {}; the models that forge merges have one", modules.size())
              : fmt::format("is {}; it must be a mapping of one module", Shown(modules)));
    const auto& module = modules.begin();
    const std::string path = Below(Below(root_, "modules"), module.key());
    if (!problems_.CheckMapping(*module, path, {"models", "slices", "parameters"})) return;
    CheckOneOf({"models", "slices"}, *module, path);
    config_.module_parameters = ReadSettings(*module, path, ParameterScope::kShared);
    ReadInputs(*module, path);
  }

  void ReadInputs(const io::Json& mapping, const std::string& path) {
    if (const io::Json* models = FindValue(mapping, "models")) ReadModels(*models, Below(path, "models"));
    if (const io::Json* slices = FindValue(mapping, "slices")) {
      if (!CheckList(*slices, Below(path, "slices"))) return;
      for (std::size_t i = 0; i < slices->size(); ++i)
        ReadSlice((*slices)[i], Below(Below(path, "slices"), i));
    }
  }

  bool CheckList(const io::Json& list, const std::string& path) {
    if (list.is_array() && !list.empty()) return true;
    problems_.Add(path, fmt::format("is {}; it must be a list of at least one", Shown(list)));
    return false;
  }

  void ReadModels(const io::Json& models, const std::string& path) {
    if (!CheckList(models, path)) return;
    SliceConfig slice{.path = path};
    for (std::size_t i = 0; i < models.size(); ++i)
      slice.sources.push_back(ReadSource(models[i], Below(path, i), {"model", "parameters"}));
    const auto is_base = [&](const SourceConfig& input) { return input.model == config_.base_model; };
    if (!config_.base_model.empty() && std::none_of(slice.sources.begin(), slice.sources.end(), is_base))
      slice.sources.push_back({.model = config_.base_model});
    config_.slices.push_back(std::move(slice));
  }

  void ReadSlice(const io::Json& json, const std::string& path) {
    if (json.is_object() && json.contains("residual_weight"))
      problems_.Add(Below(path, "residual_weight"),
                    "mergekit reads it and does nothing with it; leave it out");
    if (!problems_.CheckMapping(json, path, {"sources", "base_model", "parameters", "residual_weight"}))
      return;
    SliceConfig slice{.path = path};
    if (const io::Json* base = FindValue(json, "base_model"))
      slice.base_model = ReadModelName(*base, Below(path, "base_model"), problems_);
    slice.parameters = ReadSettings(json, path, ParameterScope::kShared);
    const std::string at = Below(path, "sources");
    const io::Json* sources = FindValue(json, "sources");
    if (sources == nullptr) return problems_.Add(path, "has no sources");
    if (!CheckList(*sources, at)) return;
    for (std::size_t i = 0; i < sources->size(); ++i) {
      slice.sources.push_back(
          ReadSource((*sources)[i], Below(at, i), {"model", "layer_range", "parameters"}));
      if ((*sources)[i].is_object()) slice.sources.back().layers = ReadRange((*sources)[i], Below(at, i));
    }
    config_.slices.push_back(std::move(slice));
  }

  SourceConfig ReadSource(const io::Json& json, const std::string& path,
                          const std::vector<std::string>& keys) {
    SourceConfig input{.path = path};
    if (!problems_.CheckMapping(json, path, keys)) return input;
    if (const io::Json* model = FindValue(json, "model"))
      input.model = ReadModelName(*model, Below(path, "model"), problems_);
    else
      problems_.Add(path, "has no model");
    input.parameters = ReadSettings(json, path, ParameterScope::kModel);
    return input;
  }

  LayerRange ReadRange(const io::Json& json, const std::string& path) {
    const io::Json* range = FindValue(json, "layer_range");
    if (range == nullptr) {
      problems_.Add(path, "has no layer_range; it is [first, end), as [0, 24]");
      return {};
    }
    if (range->is_array() && range->size() == 2 && io::HasType<int>((*range)[0]) &&
        io::HasType<int>((*range)[1]))
      return {(*range)[0].get<int>(), (*range)[1].get<int>()};
    problems_.Add(Below(path, "layer_range"),
                  fmt::format("is {}; it must be two whole numbers, [first, end)", range->dump()));
    return {};
  }

  const io::Json& json_;
  const std::string root_;
  ConfigProblems& problems_;
  MergeConfig config_;
};

}  // namespace

std::vector<MergeConfig> ParseMergeConfigs(const std::string& text, const std::string& source) {
  const std::vector<io::Json> documents = io::ParseYamlDocuments(text, source);
  ConfigProblems problems;
  std::vector<MergeConfig> configs;
  for (std::size_t i = 0; i < documents.size(); ++i)
    configs.push_back(
        Reader(documents[i], source, documents.size() == 1 ? "" : Below("documents", i), problems).Read());
  problems.ThrowIfAny(source);
  return OrderMerges(std::move(configs), source);
}

std::vector<std::string> ModelsOf(const MergeConfig& config) {
  std::vector<std::string> models;
  const auto add = [&](const std::string& model) {
    if (std::find(models.begin(), models.end(), model) == models.end()) models.push_back(model);
  };
  for (const SliceConfig& slice : config.slices)
    for (const SourceConfig& input : slice.sources) add(input.model);
  if (!config.base_model.empty()) add(config.base_model);
  return models;
}

}  // namespace forge::merge
