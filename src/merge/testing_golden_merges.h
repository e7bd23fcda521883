// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "merge/merge_plan.h"
#include "merge/mergekit/rounding.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "model/testing_models.h"

/// For tests only: merges that mergekit 0.1.5 made.
namespace forge::merge::testing {

inline std::filesystem::path GoldenMerges() {
  return model::testing::SharedFolder() / "data/golden/mergekit";
}

/// One folder of cases/: its plan and its models.
class GoldenMerge {
 public:
  explicit GoldenMerge(const std::filesystem::path& folder) {
    const std::string file = folder / "config.yml";
    const MergeConfig config = ParseMergeConfigs(io::ReadFile(file), file).at(0);
    std::vector<const model::WeightSource*> models;
    for (const std::string& name : ModelsOf(config))
      models.push_back(sources_.emplace_back(Open(name)).get());
    plan = MakePlan(config, models, {.mergekit_numerics = true});
  }

  /// [sources][n], rounded to the work type.
  std::vector<std::vector<float>> Inputs(const TensorTask& task) const {
    std::vector<std::vector<float>> inputs;
    for (const TensorTask::Source& source : task.sources) {
      const model::WeightSource& weights = *sources_[static_cast<std::size_t>(source.model)];
      for (const model::TensorSpec& spec : model::ListTensors(weights.config()))
        if (spec.name == source.tensor) inputs.push_back(weights.Read(spec).values);
      for (float& value : inputs.back()) value = mergekit::Rounder(task.work_type)(value);
    }
    return inputs;
  }

  MergePlan plan;

 private:
  static std::unique_ptr<model::WeightSource> Open(const std::string& name) {
    const std::size_t plus = name.find('+');
    std::unique_ptr<model::WeightSource> source =
        model::OpenModelFolder(GoldenMerges() / name.substr(0, plus));
    if (plus == std::string::npos) return source;
    const model::LoraAdapter adapter = model::ReadLoraAdapter(GoldenMerges() / name.substr(plus + 1));
    return model::AddLora(std::move(source), adapter, 1, name);
  }

  std::vector<std::unique_ptr<model::WeightSource>> sources_;
};

}  // namespace forge::merge::testing
