// SPDX-License-Identifier: Apache-2.0
#include "merge/merge_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "merge/layer_name.h"
#include "merge/model_agreement.h"
#include "merge/parameter_plan.h"
#include "merge/slice_plan.h"

namespace forge::merge {
namespace {

using io::FloatType;

/// The same tensor of a layer in another layer.
model::TensorSpec MoveToLayer(model::TensorSpec spec, int layer) {
  spec.name = InLayer(spec.name, layer);
  spec.layer = layer;
  return spec;
}

/// What torch computes in when tensors of these types meet: the type itself if they all have one, else
/// float32. forge reads what is stored in other types (float64, blocks of GGUF) as float32.
FloatType Promote(const std::vector<std::string>& types) {
  const bool is_one =
      std::all_of(types.begin(), types.end(), [&](const std::string& type) { return type == types[0]; });
  for (const FloatType type : {FloatType::kBF16, FloatType::kF16})
    if (is_one && types[0] == io::Name(type)) return type;
  return FloatType::kF32;
}

class Planner {
 public:
  Planner(const MergeConfig& config, const std::vector<const model::WeightSource*>& models,
          const PlanOptions& options)
      : config_(config), models_(models), options_(options), parameters_(config) {}

  MergePlan Plan() {
    plan_.models = ModelsOf(config_);
    FORGE_CHECK(plan_.models.size() == models_.size());
    if (!config_.base_model.empty())
      plan_.config_model = static_cast<int>(
          std::find(plan_.models.begin(), plan_.models.end(), config_.base_model) - plan_.models.begin());
    slices_ = PlanSlices(config_, models_, options_.mergekit_numerics);
    const auto donor = static_cast<std::size_t>(plan_.config_model);
    plan_.notes = CheckAgreement(plan_.models, models_, donor, options_.mergekit_numerics, config_.source);
    plan_.config = models_[donor]->config();
    plan_.config.num_hidden_layers = 0;
    for (const SlicePlan& slice : slices_.slices) plan_.config.num_hidden_layers += slice.layers;
    AddTensors();
    parameters_.ThrowIfWrong();
    AddNotes();
    return std::move(plan_);
  }

 private:
  void AddTensors() {
    std::size_t slice = 0;
    int first = 0;  // layer of the result at which the slice begins
    for (const model::TensorSpec& spec : model::ListTensors(plan_.config)) {
      if (spec.role == model::TensorRole::kEmbedding) {
        AddTensor(spec, slices_.slices.front(), -1);
      } else if (spec.layer < 0) {
        AddTensor(spec, slices_.tail, -1);
      } else {
        while (spec.layer >= first + slices_.slices[slice].layers) first += slices_.slices[slice++].layers;
        AddTensor(spec, slices_.slices[slice], spec.layer - first);
      }
    }
  }

  /// `index` is that of the layer in its slice; -1: in none.
  void AddTensor(const model::TensorSpec& spec, const SlicePlan& slice, int index) {
    TensorTask task{.name = spec.name,
                    .shape = spec.shape,
                    .layer = spec.layer,
                    .method = config_.method,
                    .base = slice.base};
    std::vector<std::string> types;
    for (std::size_t i = 0; i < slice.size(); ++i) {
      const model::TensorSpec input = index < 0 ? spec : MoveToLayer(spec, slice.first_layers[i] + index);
      task.sources.push_back({.model = slice.models[i], .tensor = input.name});
      types.push_back(models_[static_cast<std::size_t>(slice.models[i])]->StoredType(input));
    }
    task.work_type = config_.dtype.value_or(Promote(types));
    const bool is_widened = options_.mergekit_numerics &&
                            (config_.method->name == "arcee_fusion" || config_.method->name == "ramplus_tl");
    task.out_type = config_.out_dtype.value_or(is_widened ? FloatType::kF32 : task.work_type);
    const double t = index < 0 ? 0 : slice.layers == 1 ? 1 : static_cast<double>(index) / (slice.layers - 1);
    parameters_.Resolve(slice, t, task);
    plan_.tensors.push_back(std::move(task));
  }

  void AddNotes() {
    for (const SlicePlan& slice : slices_.slices) NoteBase(slice);
    if (const std::size_t whole = slices_.slices.back().size(); slices_.tail.size() < whole)
      plan_.notes.push_back(
          fmt::format("final norm and head are made of the first {} of the {} sources of the last slice, as "
                      "mergekit does",
                      slices_.tail.size(), whole));
    for (std::string& note : parameters_.Notes()) plan_.notes.push_back(std::move(note));
  }

  /// Says that what stands beside a base is not read.
  void NoteBase(const SlicePlan& slice) {
    if (slice.base < 0) return;
    const SourceConfig& base = slice.config->sources[static_cast<std::size_t>(slice.base)];
    std::vector<std::string> names;
    for (const auto& [name, setting] : base.parameters) names.push_back(name);
    if (!names.empty())
      plan_.notes.push_back(fmt::format("{}: {} is the base, so its own {} {} no effect", base.path,
                                        base.model, fmt::join(names, " and "),
                                        names.size() == 1 ? "has" : "have"));
  }

  const MergeConfig& config_;
  const std::vector<const model::WeightSource*>& models_;
  const PlanOptions& options_;
  ParameterPlan parameters_;
  SlicePlans slices_;
  MergePlan plan_;
};

}  // namespace

MergePlan MakePlan(const MergeConfig& config, const std::vector<const model::WeightSource*>& models,
                   const PlanOptions& options) {
  return Planner(config, models, options).Plan();
}

}  // namespace forge::merge
