// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_inputs.h"

#include <fmt/format.h>

#include "base/error.h"
#include "merge/compatibility.h"
#include "merge/recipe_steps.h"
#include "pipeline/tasks.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

/// By the method `linear`, so that a config of mergekit can say it. It is no folder: its path is empty.
LoadedModel AverageOf(const std::vector<LoadedModel>& parents) {
  LoadedModel average = parents.front();
  average.name = "average";
  average.path.clear();
  merge::MergeStep step{.method = "linear"};
  for (std::size_t parent = 0; parent < parents.size(); ++parent) {
    step.models.push_back(static_cast<int>(parent));
    step.weights.push_back({1});
  }
  for (auto& [name, tensor] : average.weights) {
    std::vector<const model::Tensor*> inputs;
    for (const LoadedModel& parent : parents) inputs.push_back(&parent.weights.at(name));
    tensor.values = merge::ApplyStep(step, name, inputs, 0, 0);
  }
  return average;
}

}  // namespace

EvolveInputs LoadEvolveInputs(const EvolveConfig& config) {
  EvolveInputs inputs;
  inputs.domains = LoadTasks(config.tasks, {config.search_items, config.selection_items, config.test_items});
  const fs::path models_dir = config.models_dir;
  std::vector<fs::path> paths;
  for (const std::string& name : config.base_models) paths.push_back(ResolveModel(name, models_dir));
  if (paths.size() < 2 || paths.size() > 8)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot merge {} model(s)", paths.size()),
                 .why = "a merge takes 2 to 8 models",
                 .fix = "give --base-models a,b,c"});
  fs::path base = config.base.empty() ? fs::path() : ResolveModel(config.base, models_dir);
  if (base.empty() && fs::exists(paths.front().parent_path() / "base" / "config.json"))
    base = paths.front().parent_path() / "base";
  inputs.base_is_average = base.empty();
  if (!base.empty()) inputs.base = LoadModel(base);
  for (const fs::path& path : paths)
    inputs.parents.push_back(LoadModel(path, base.empty() ? nullptr : &inputs.base));
  WidenTernary(inputs.base);
  for (LoadedModel& parent : inputs.parents) WidenTernary(parent);
  std::vector<merge::NamedConfig> configs;
  if (!base.empty()) configs.push_back({base.string(), inputs.base.config});
  for (const LoadedModel& parent : inputs.parents) configs.push_back({parent.path.string(), parent.config});
  merge::CheckCompatible(configs);
  if (base.empty()) inputs.base = AverageOf(inputs.parents);
  return inputs;
}

}  // namespace forge::pipeline
