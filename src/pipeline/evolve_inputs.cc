// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_inputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "merge/compatibility.h"
#include "merge/recipe_steps.h"
#include "pipeline/search_identity.h"
#include "pipeline/tasks.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

/// The average of models of one shape, made as it is read. By the method `linear`, so that a config of
/// mergekit can say it.
class AverageWeights : public model::WeightSource {
 public:
  explicit AverageWeights(const std::vector<OpenedModel>& models) : WeightSource(models.front().config) {
    step_.method = "linear";
    for (std::size_t i = 0; i < models.size(); ++i) {
      models_.push_back(models[i].weights);
      step_.models.push_back(static_cast<int>(i));
      step_.weights.push_back({1});
    }
  }
  std::string Name() const override { return "the average of the parents"; }
  std::string StoredType(const model::TensorSpec&) const override { return "F32"; }

 private:
  void ReadStoredRows(const model::TensorSpec& spec, std::int64_t first_row,
                      std::span<float> out) const override {
    std::vector<model::Tensor> rows;
    std::vector<const model::Tensor*> inputs;
    for (const auto& model : models_) {
      rows.push_back({{static_cast<std::int64_t>(out.size())}, std::vector<float>(out.size())});
      model->ReadRows(spec, first_row, rows.back().values);
    }
    for (const model::Tensor& tensor : rows) inputs.push_back(&tensor);
    const std::vector<float> mean = merge::ApplyStep(step_, spec.name, inputs, 0, 0);
    std::copy(mean.begin(), mean.end(), out.begin());
  }

  std::vector<std::shared_ptr<const model::WeightSource>> models_;
  merge::MergeStep step_;
};

/// It is no folder: its path is empty.
OpenedModel AverageOf(const std::vector<OpenedModel>& parents) {
  return {.name = "average",
          .path = {},
          .config = parents.front().config,
          .weights = std::make_shared<AverageWeights>(parents),
          .tokenizer = parents.front().tokenizer};
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
  if (!base.empty()) inputs.base = OpenModel(base);
  for (const fs::path& path : paths) inputs.parents.push_back(OpenModel(path, base));
  std::vector<merge::NamedConfig> configs;
  if (!base.empty()) configs.push_back({base.string(), inputs.base.config});
  for (const OpenedModel& parent : inputs.parents) configs.push_back({parent.path.string(), parent.config});
  merge::CheckCompatible(configs);
  if (base.empty()) inputs.base = AverageOf(inputs.parents);
  inputs.identity = SearchIdentity(inputs);
  return inputs;
}

}  // namespace forge::pipeline
