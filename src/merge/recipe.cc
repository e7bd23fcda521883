// SPDX-License-Identifier: Apache-2.0
#include "merge/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/thread_pool.h"
#include "merge/layer_name.h"
#include "merge/recipe_steps.h"
#include "merge/tensor_statistics.h"

namespace forge::merge {
namespace {

using model::Tensor;

/// Makes one tensor of the merged model by the recipe's steps.
class TensorMerger {
 public:
  TensorMerger(const MergeRecipe& recipe, const std::vector<MergeStep>& steps, const MergeSources& sources)
      : recipe_(recipe), steps_(steps), sources_(sources) {}

  Tensor Merge(const model::TensorSpec& spec, int coefficient) const {
    std::vector<std::optional<Tensor>> models(sources_.parents.size() + 1);  // as far as they were read
    std::vector<Tensor> results;
    results.reserve(steps_.size());  // inputs point into it
    for (const MergeStep& step : steps_) {
      std::vector<const Tensor*> inputs;
      for (const int model : step.models) inputs.push_back(&Input(model, spec, models, results));
      std::vector<float> merged = ApplyStep(step, spec.name, inputs, coefficient, recipe_.dare_seed,
                                            Magnitudes(step, spec.name, inputs));
      results.push_back({inputs[0]->shape, std::move(merged)});
    }
    return std::move(results.back());
  }

 private:
  const Tensor& Input(int model, const model::TensorSpec& spec, std::vector<std::optional<Tensor>>& models,
                      const std::vector<Tensor>& results) const {
    const auto index = static_cast<std::size_t>(model);
    if (index >= models.size()) return results[index - models.size()];
    if (!models[index])
      models[index] = (index == 0 ? sources_.base : sources_.parents[index - 1])->Read(spec);
    return *models[index];
  }

  /// Of the parents that a step thins by magnitude as they are.
  std::vector<const MagnitudeTable*> Magnitudes(const MergeStep& step, const std::string& name,
                                                const std::vector<const Tensor*>& inputs) const {
    if (sources_.statistics == nullptr || step.method != "ties" || step.density >= 1) return {};
    std::vector<const MagnitudeTable*> tables(inputs.size());
    for (std::size_t m = 1; m < inputs.size(); ++m) {
      const auto model = static_cast<std::size_t>(step.models[m]);
      if (model == 0 || model > sources_.parents.size()) continue;  // the result of a step before
      const Change change{{inputs[m]->values.data()}, {inputs[0]->values.data()}};
      tables[m] = &sources_.statistics->Magnitudes(model - 1, name, change, inputs[m]->values.size());
    }
    return tables;
  }

  const MergeRecipe& recipe_;
  const std::vector<MergeStep>& steps_;
  const MergeSources& sources_;
};

/// As a merge by mergekit's language copies: multiplied by 1 and added to 0, which makes -0 a 0.
Tensor Copy(Tensor tensor) {
  for (float& value : tensor.values) value += 0.0f;
  return tensor;
}

void CheckRecipe(const MergeRecipe& recipe, const MergeSources& sources) {
  const std::size_t parents = sources.parents.size();
  std::string why;
  if (recipe.coefficients.size() != parents)
    why = fmt::format("it has coefficients for {} parents, not {}", recipe.coefficients.size(), parents);
  for (const std::vector<double>& row : recipe.coefficients)
    if (row.empty() || row.size() % kComponentGroups != 0 || row.size() != recipe.coefficients[0].size())
      why = fmt::format("a parent has {} coefficients, not as many as the others and a multiple of {}",
                        row.size(), kComponentGroups);
  if (recipe.ensemble_weights.size() != parents + 1)
    why = fmt::format("it has {} ensemble weights, not {}", recipe.ensemble_weights.size(), parents + 1);
  if (!(recipe.density > 0 && recipe.density <= 1))
    why = fmt::format("density is {}; it must be above 0 and at most 1", recipe.density);
  if (recipe.rope_theta && !(*recipe.rope_theta > 0))
    why = fmt::format("rope theta is {}; it must be above 0", *recipe.rope_theta);
  if (recipe.coefficients.empty()) why = "it has no parents";
  if (recipe.layers.empty()) why = "it has no layers";
  for (const LayerChoice& choice : recipe.layers)
    if (choice.source < 0 || choice.source > static_cast<int>(parents) || choice.layer < 0 ||
        choice.layer >= sources.config->num_hidden_layers)
      why = fmt::format("it asks for layer {} of source {}", choice.layer, choice.source);
  if (why.empty()) return;
  throw Error({.what = "cannot apply a merge recipe",
               .why = why,
               .fix = "the recipe must be made for these parents"});
}

}  // namespace

std::string Name(Continuous continuous) { return continuous == Continuous::kLinear ? "linear" : "slerp"; }
std::string Name(Ensemble ensemble) { return ensemble == Ensemble::kTies ? "ties" : "dare"; }
std::string Name(Structure structure) {
  return structure == Structure::kFrankenmerge ? "frankenmerge" : "dfs";
}

int ComponentGroup(const model::TensorSpec& spec) {
  switch (spec.role) {
    case model::TensorRole::kAttentionLinear:
    case model::TensorRole::kAttentionBias:
      return 0;
    case model::TensorRole::kMlpLinear:
      return 1;
    default:
      return 2;
  }
}

int CoefficientIndex(const model::TensorSpec& spec, int num_coefficients, int num_layers) {
  const int groups = num_coefficients / kComponentGroups;
  const bool is_first = spec.role == model::TensorRole::kEmbedding;
  const int group = spec.layer >= 0 ? spec.layer * groups / num_layers : is_first ? 0 : groups - 1;
  return group * kComponentGroups + ComponentGroup(spec);
}

MergedModel ApplyRecipe(const MergeRecipe& recipe, const MergeSources& sources) {
  CheckRecipe(recipe, sources);
  MergedModel result{.config = *sources.config};
  result.config.num_hidden_layers = static_cast<int>(recipe.layers.size());
  if (recipe.rope_theta) result.config.rope_theta = *recipe.rope_theta;
  const auto num_coefficients =
      static_cast<int>(recipe.coefficients.empty() ? 0 : recipe.coefficients[0].size());
  struct Job {
    int coefficient;
    model::TensorSpec from;
    const model::WeightSource* copy_of;  // null: merge
    Tensor* to;
  };
  std::vector<Job> jobs;
  for (const model::TensorSpec& spec : model::ListTensors(result.config)) {
    Job job{0, spec, nullptr, &result.weights[spec.name]};
    if (spec.layer >= 0) {
      const LayerChoice& choice = recipe.layers[static_cast<std::size_t>(spec.layer)];
      job.from.name = InLayer(spec.name, choice.layer);
      job.from.layer = choice.layer;
      if (choice.source > 0) job.copy_of = sources.parents[static_cast<std::size_t>(choice.source - 1)];
    }
    job.coefficient = CoefficientIndex(job.from, num_coefficients, sources.config->num_hidden_layers);
    jobs.push_back(std::move(job));
  }
  const std::vector<MergeStep> steps = StepsOf(recipe);
  const TensorMerger merger(recipe, steps, sources);
  ThreadPool::Global().Run(jobs.size(), [&](std::size_t i) {
    const Job& job = jobs[i];
    *job.to =
        job.copy_of != nullptr ? Copy(job.copy_of->Read(job.from)) : merger.Merge(job.from, job.coefficient);
  });
  return result;
}

}  // namespace forge::merge
