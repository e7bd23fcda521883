// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <set>

#include "io/config_file.h"
#include "io/safetensors.h"
#include "merge/mergekit/rounding.h"
#include "merge/tensor_task.h"
#include "model/testing_models.h"

/// For tests only: merges that mergekit 0.1.5 made, as tasks and inputs.
namespace forge::merge::testing {

inline std::filesystem::path GoldenMerges() {
  return model::testing::SharedFolder() / "data/golden/mergekit";
}

struct NamedTensor {
  std::vector<std::int64_t> shape;
  std::string type;
  std::vector<float> values;
};
using NamedTensors = std::map<std::string, NamedTensor>;

inline NamedTensors ReadTensors(const std::filesystem::path& path) {
  const io::SafetensorsFile file(path);
  NamedTensors tensors;
  for (const auto& entry : file.entries()) {
    NamedTensor& tensor = tensors[entry.name] = {entry.shape, entry.dtype, std::vector<float>(entry.size())};
    file.ReadFloats(entry, tensor.values);
  }
  return tensors;
}

/// Adds (B A) (alpha / r) of a PEFT adapter to the weights.
inline void FoldAdapter(NamedTensors& weights, const std::filesystem::path& folder) {
  const NamedTensors adapter = ReadTensors(folder / "adapter_model.safetensors");
  const io::Json config = io::ReadJsonFile(folder / "adapter_config.json");
  const auto scale = static_cast<float>(config["lora_alpha"].get<double>() / config["r"].get<double>());
  const std::string prefix = "base_model.model.", suffix = ".lora_A.weight";
  for (const auto& [name, a] : adapter) {
    if (!name.ends_with(suffix)) continue;
    const std::string module = name.substr(0, name.size() - suffix.size());
    const NamedTensor& b = adapter.at(module + ".lora_B.weight");
    NamedTensor& weight = weights.at(module.substr(prefix.size()) + ".weight");
    const auto rank = static_cast<std::size_t>(a.shape[0]), columns = static_cast<std::size_t>(a.shape[1]);
    for (std::size_t i = 0; i < weight.values.size(); ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < rank; ++k)
        sum += static_cast<double>(b.values[i / columns * rank + k]) * a.values[k * columns + i % columns];
      weight.values[i] += static_cast<float>(sum) * scale;
    }
  }
}

inline double At(const io::Json& points, double t) {
  const double place = t * static_cast<double>(points.size() - 1);
  const auto index = static_cast<std::size_t>(place);
  const double part = place - static_cast<double>(index);
  return (1 - part) * points[index].get<double>() +
         part * points[std::min(index + 1, points.size() - 1)].get<double>();
}

/// A number, flag, gradient or list of filters; nothing if no filter matches.
inline std::optional<double> ValueOf(const io::Json& setting, const std::string& tensor, double t) {
  if (setting.is_boolean()) return setting.get<bool>();
  if (setting.is_number()) return setting.get<double>();
  if (!setting[0].is_object()) return At(setting, t);
  for (const io::Json& choice : setting)
    if (!choice.contains("filter") || tensor.find(choice["filter"].get<std::string>()) != std::string::npos)
      return ValueOf(choice["value"], tensor, t);
  return std::nullopt;
}

/// One folder of cases/.
class GoldenMerge {
 public:
  explicit GoldenMerge(const std::filesystem::path& folder)
      : golden(ReadTensors(folder / "model.safetensors")),
        config_(io::ReadConfigFile(folder / "config.yml")),
        method_(&GetMethod(config_["merge_method"].get<std::string>(), folder.string())) {
    const io::Json module = config_.contains("modules") ? *config_["modules"].begin() : config_;
    if (config_.contains("modules")) module_parameters_ = module.value("parameters", io::Json::object());
    const std::vector<io::Json> slices = SlicesOf(module);
    Plan(slices[0], "model.embed_tokens.weight", 0, 0, 0);
    int layer = 0;
    for (const io::Json& slice : slices) {
      const io::Json range = slice["sources"][0]["layer_range"];
      const int count = range[1].get<int>() - range[0].get<int>();
      for (int i = 0; i < count; ++i, ++layer)
        PlanLayer(slice, layer, i, count > 1 ? i / static_cast<double>(count - 1) : 1.0);
    }
    io::Json last = slices.back();  // of which mergekit uses as many sources as the first slice has
    while (last["sources"].size() > slices[0]["sources"].size())
      last["sources"].erase(last["sources"].size() - 1);
    Plan(last, "model.norm.weight", 0, 0, 0);
    Plan(last, "lm_head.weight", 0, 0, 0);
  }

  const NamedTensors golden;
  std::vector<std::string> models;
  std::vector<TensorTask> tasks;

  /// [sources][n], rounded to the work type.
  std::vector<std::vector<float>> Inputs(const TensorTask& task) {
    std::vector<std::vector<float>> inputs;
    for (const auto& source : task.sources) {
      inputs.push_back(Tensor(models[static_cast<std::size_t>(source.model)], source.tensor).values);
      for (float& value : inputs.back()) value = mergekit::Rounder(task.work_type)(value);
    }
    return inputs;
  }

 private:
  std::vector<io::Json> SlicesOf(const io::Json& module) {
    if (module.contains("slices")) return module["slices"];
    io::Json sources = module["models"];
    bool has_base = !config_.contains("base_model");
    for (const io::Json& source : sources) has_base |= source["model"] == config_.value("base_model", "");
    if (!has_base) sources.push_back({{"model", config_["base_model"]}});
    for (io::Json& source : sources) source["layer_range"] = {0, 4};  // all the models have four layers
    return {{{"sources", sources}}};
  }

  const NamedTensor& Tensor(const std::string& model, const std::string& name) {
    NamedTensors& tensors = files_[model];
    if (tensors.empty()) {
      tensors = ReadTensors(GoldenMerges() / model.substr(0, model.find('+')) / "model.safetensors");
      if (model.find('+') != std::string::npos)
        FoldAdapter(tensors, GoldenMerges() / model.substr(model.find('+') + 1));
    }
    return tensors.at(name);
  }

  void PlanLayer(const io::Json& slice, int layer, int offset, double t) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const auto& [name, tensor] : golden)
      if (name.starts_with(prefix)) Plan(slice, name, static_cast<int>(prefix.size()), offset, t);
  }

  /// `prefix`: length of "model.layers.N.", 0 for a tensor of no layer.
  void Plan(const io::Json& slice, const std::string& name, int prefix, int offset, double t) {
    if (!golden.contains(name)) return;
    TensorTask task{.name = name, .shape = golden.at(name).shape, .method = method_};
    const std::string base = slice.value("base_model", config_.value("base_model", ""));
    const std::vector<io::Json> shared{slice.value("parameters", io::Json::object()), module_parameters_,
                                       config_.value("parameters", io::Json::object())};
    std::set<std::string> types;
    for (const io::Json& source : slice["sources"]) {
      const auto model = source["model"].get<std::string>();
      const std::string tensor =
          prefix == 0 ? name
                      : "model.layers." + std::to_string(source["layer_range"][0].get<int>() + offset) + "." +
                            name.substr(static_cast<std::size_t>(prefix));
      types.insert(Tensor(model, tensor).type);
      const bool is_base = method_->base != BaseRole::kNone && model == base;
      if (is_base) task.base = static_cast<int>(task.sources.size());
      task.sources.push_back({ModelIndex(model), tensor});
      std::vector<io::Json> scopes = shared;
      scopes.insert(scopes.begin(), source.value("parameters", io::Json::object()));
      task.parameters.of_source.push_back(is_base ? TensorParameters::Values{}
                                                  : ValuesOf(scopes, true, tensor, t));
    }
    task.parameters.shared = ValuesOf(shared, false, name, t);
    const bool same = types.size() == 1;
    task.work_type = config_.contains("dtype") ? io::ParseFloatType(config_["dtype"].get<std::string>())
                     : same                    ? io::ParseFloatType(*types.begin())
                                               : io::FloatType::kF32;
    task.out_type = io::ParseFloatType(golden.at(name).type);
    tasks.push_back(std::move(task));
  }

  int ModelIndex(const std::string& model) {
    const auto found = std::find(models.begin(), models.end(), model);
    if (found == models.end()) return models.push_back(model), static_cast<int>(models.size()) - 1;
    return static_cast<int>(found - models.begin());
  }

  TensorParameters::Values ValuesOf(const std::vector<io::Json>& scopes, bool per_model,
                                    const std::string& tensor, double t) const {
    TensorParameters::Values values;
    for (const ParameterRule& rule : method_->parameters) {
      if (rule.per_model != per_model) continue;
      std::optional<double> value;
      for (const io::Json& scope : scopes)
        if (!value && scope.contains(rule.name)) value = ValueOf(scope[rule.name], tensor, t);
      if (!value) value = rule.default_value;
      if (value) values[rule.name] = *value;
    }
    return values;
  }

  io::Json config_, module_parameters_ = io::Json::object();
  const MethodInfo* method_;
  std::map<std::string, NamedTensors> files_;
};

}  // namespace forge::merge::testing
