// SPDX-License-Identifier: Apache-2.0
#include "merge/recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/thread_pool.h"
#include "merge/dare.h"
#include "merge/layer_name.h"
#include "merge/linear.h"
#include "merge/slerp.h"
#include "merge/ties.h"

namespace forge::merge {
namespace {

using model::Tensor;

class TensorMerger {
 public:
  TensorMerger(const MergeRecipe& recipe, const MergeSources& sources, int coefficient, std::string name)
      : recipe_(recipe),
        sources_(sources),
        coefficient_(coefficient),
        name_(std::move(name)),
        base_(sources.base->at(name_).values) {
    for (const model::ModelWeights* parent : sources.parents) {
      const std::vector<float>& values = parent->at(name_).values;
      std::vector<float>& delta = deltas_.emplace_back(base_.size());
      for (std::size_t i = 0; i < base_.size(); ++i) delta[i] = values[i] - base_[i];
    }
  }

  Tensor Merge() {
    if (recipe_.joins_parents) ScaleDeltas();
    const std::vector<float> merged = recipe_.joins_parents                       ? std::vector<float>()
                                      : recipe_.continuous == Continuous::kLinear ? LinearDelta()
                                                                                  : SlerpDelta();
    Deltas list;
    if (!recipe_.joins_parents) list.emplace_back(merged);
    for (const std::vector<float>& delta : deltas_) list.emplace_back(delta);
    std::vector<double> weights =
        recipe_.joins_parents ? std::vector<double>(deltas_.size(), 1.0) : recipe_.ensemble_weights;
    while (weights.size() > 1 && weights.back() == 0) {  // unused models cost nothing
      weights.pop_back();
      list.pop_back();
    }
    std::vector<float> changed(base_.size());
    if (recipe_.ensemble == Ensemble::kTies)
      Ties(list, weights, recipe_.density, changed);
    else
      Dare(list, weights, 1 - recipe_.density, recipe_.dare_seed, name_, changed);
    Tensor result{sources_.base->at(name_).shape, base_};
    const auto lambda = static_cast<float>(recipe_.lambda);
    for (std::size_t i = 0; i < base_.size(); ++i) result.values[i] += lambda * changed[i];
    return result;
  }

 private:
  double Coefficient(std::size_t parent) const {
    return recipe_.coefficients[parent][static_cast<std::size_t>(coefficient_)];
  }

  void ScaleDeltas() {
    for (std::size_t p = 0; p < deltas_.size(); ++p)
      for (float& value : deltas_[p]) value *= static_cast<float>(Coefficient(p));
  }

  std::vector<float> LinearDelta() const {
    Deltas deltas;
    std::vector<double> weights;
    for (std::size_t p = 0; p < deltas_.size(); ++p) {
      deltas.emplace_back(deltas_[p]);
      weights.push_back(Coefficient(p));
    }
    std::vector<float> merged(base_.size());
    Linear(deltas, weights, merged);
    return merged;
  }

  std::vector<float> SlerpDelta() const {
    std::vector<float> current(base_.size()), next(base_.size());
    const auto model = [&](std::size_t parent, std::vector<float>& out) {
      const auto coefficient = static_cast<float>(Coefficient(parent));
      for (std::size_t i = 0; i < base_.size(); ++i) out[i] = base_[i] + coefficient * deltas_[parent][i];
    };
    model(0, current);
    for (std::size_t p = 1; p < deltas_.size(); ++p) {
      model(p, next);
      Slerp(current, next, recipe_.slerp_t / static_cast<double>(p), current);
    }
    for (std::size_t i = 0; i < base_.size(); ++i) current[i] -= base_[i];
    return current;
  }

  const MergeRecipe& recipe_;
  const MergeSources& sources_;
  int coefficient_;
  std::string name_;
  const std::vector<float>& base_;
  std::vector<std::vector<float>> deltas_;
};

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
  const auto num_coefficients =
      static_cast<int>(recipe.coefficients.empty() ? 0 : recipe.coefficients[0].size());
  struct Job {
    int coefficient;
    std::string from;
    const model::ModelWeights* copy_of;  // null: merge
    Tensor* to;
  };
  std::vector<Job> jobs;
  for (model::TensorSpec spec : model::ListTensors(result.config)) {
    Job job{0, spec.name, nullptr, &result.weights[spec.name]};
    if (spec.layer >= 0) {
      const LayerChoice& choice = recipe.layers[static_cast<std::size_t>(spec.layer)];
      job.from = InLayer(spec.name, choice.layer);
      if (choice.source > 0) job.copy_of = sources.parents[static_cast<std::size_t>(choice.source - 1)];
      spec.layer = choice.layer;
    }
    job.coefficient = CoefficientIndex(spec, num_coefficients, sources.config->num_hidden_layers);
    jobs.push_back(std::move(job));
  }
  ThreadPool::Global().Run(jobs.size(), [&](std::size_t i) {
    const Job& job = jobs[i];
    *job.to = job.copy_of != nullptr ? job.copy_of->at(job.from)
                                     : TensorMerger(recipe, sources, job.coefficient, job.from).Merge();
  });
  return result;
}

}  // namespace forge::merge
