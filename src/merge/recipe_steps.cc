// SPDX-License-Identifier: Apache-2.0
#include "merge/recipe_steps.h"

#include <algorithm>

#include "base/check.h"
#include "merge/exact/tensor_merge.h"

namespace forge::merge {
namespace {

/// Writes down the steps, one after the other.
class StepWriter {
 public:
  explicit StepWriter(const MergeRecipe& recipe)
      : recipe_(recipe), parents_(static_cast<int>(recipe.coefficients.size())) {}

  std::vector<MergeStep> Write() {
    if (recipe_.joins_parents)
      JoinParents();
    else
      MixAndJoin();
    return std::move(steps_);
  }

 private:
  int Add(MergeStep step) {
    steps_.push_back(std::move(step));
    return parents_ + static_cast<int>(steps_.size());
  }
  /// base + c d of one parent, as a model.
  int AddPart(int parent) {
    return Add({.method = "task_arithmetic",
                .models = {0, parent + 1},
                .weights = {recipe_.coefficients[static_cast<std::size_t>(parent)]}});
  }
  int AddSum(double lambda) {
    MergeStep sum{.method = "task_arithmetic", .models = {0}, .lambda = lambda};
    sum.weights = recipe_.coefficients;
    for (int parent = 0; parent < parents_; ++parent) sum.models.push_back(parent + 1);
    return Add(std::move(sum));
  }

  /// Thins by density and joins `models`; `weights` as MergeStep has them.
  void AddEnsemble(std::vector<int> models, std::vector<std::vector<double>> weights) {
    models.insert(models.begin(), 0);
    MergeStep step{.method = "ties",
                   .models = std::move(models),
                   .weights = std::move(weights),
                   .density = recipe_.density,
                   .lambda = recipe_.lambda};
    if (recipe_.ensemble == Ensemble::kDare) {
      step.method = recipe_.density < 1 ? "dare_linear" : "task_arithmetic";
      for (std::vector<double>& row : step.weights)
        for (double& weight : row) weight /= recipe_.density;
    }
    Add(std::move(step));
  }

  void JoinParents() {
    std::vector<int> models;
    std::vector<std::vector<double>> weights;
    for (int parent = 0; parent < parents_; ++parent) {
      const bool is_part = recipe_.ensemble == Ensemble::kTies;  // whose votes all count alike
      models.push_back(is_part ? AddPart(parent) : parent + 1);
      weights.push_back(is_part ? std::vector<double>{1}
                                : recipe_.coefficients[static_cast<std::size_t>(parent)]);
    }
    AddEnsemble(std::move(models), std::move(weights));
  }

  void MixAndJoin() {
    const bool is_alone = std::all_of(recipe_.ensemble_weights.begin() + 1, recipe_.ensemble_weights.end(),
                                      [](double weight) { return weight == 0; });
    const bool keeps_all = recipe_.density == 1, is_linear = recipe_.continuous == Continuous::kLinear;
    if (is_alone && keeps_all && is_linear) {
      AddSum(recipe_.lambda);
      return;
    }
    const int mixed = is_linear ? AddSum(1) : AddSlerps();
    if (is_alone && keeps_all) {
      Add({.method = "task_arithmetic", .models = {0, mixed}, .weights = {{1}}, .lambda = recipe_.lambda});
      return;
    }
    std::vector<int> models{mixed};
    std::vector<std::vector<double>> weights{{recipe_.ensemble_weights[0]}};
    for (int parent = 0; parent < parents_; ++parent) {
      const double weight = recipe_.ensemble_weights[static_cast<std::size_t>(parent) + 1];
      if (weight == 0) continue;
      models.push_back(parent + 1);
      weights.push_back({weight});
    }
    AddEnsemble(std::move(models), std::move(weights));
  }

  int AddSlerps() {
    std::vector<int> parts;
    for (int parent = 0; parent < parents_; ++parent) parts.push_back(AddPart(parent));
    int current = parts[0];
    for (std::size_t p = 1; p < parts.size(); ++p)
      current = Add(
          {.method = "slerp", .models = {current, parts[p]}, .t = recipe_.slerp_t / static_cast<double>(p)});
    return current;
  }

  const MergeRecipe& recipe_;
  int parents_;
  std::vector<MergeStep> steps_;
};

TensorTask TaskOf(const MergeStep& step, const std::string& name, const std::vector<std::int64_t>& shape,
                  int coefficient) {
  TensorTask task{.name = name, .shape = shape, .method = FindMethod(step.method)};
  FORGE_CHECK(task.method != nullptr);
  task.base = task.method->base == BaseRole::kNone ? -1 : 0;
  task.parameters.of_source.resize(step.models.size());
  for (std::size_t m = 0; m < step.models.size(); ++m) task.sources.push_back({step.models[m], name});
  for (const ParameterRule& rule : task.method->parameters) {
    double value = rule.default_value.value_or(0);
    if (rule.name == "lambda") value = step.lambda;
    if (rule.name == "density") value = step.density;
    if (rule.name == "t") value = step.t;
    if (rule.name == "rescale") value = 0;
    if (!rule.per_model) task.parameters.shared[rule.name] = value;
    const std::size_t first = task.base < 0 ? 0 : 1;
    for (std::size_t m = first; rule.per_model && m < step.models.size(); ++m) {
      if (rule.name == "weight") {
        const std::vector<double>& row = step.weights[m - first];
        value = row[row.size() == 1 ? 0 : static_cast<std::size_t>(coefficient)];
      }
      task.parameters.of_source[m][rule.name] = value;
    }
  }
  return task;
}

}  // namespace

std::vector<MergeStep> StepsOf(const MergeRecipe& recipe) { return StepWriter(recipe).Write(); }

std::vector<float> ApplyStep(const MergeStep& step, const std::string& name,
                             const std::vector<const model::Tensor*>& inputs, int coefficient,
                             std::uint64_t seed, std::vector<const MagnitudeTable*> magnitudes) {
  FORGE_CHECK(inputs.size() == step.models.size());
  std::vector<float> merged(inputs[0]->values.size());
  const auto at = [](std::size_t first) { return static_cast<std::ptrdiff_t>(first); };
  TensorTask task = TaskOf(step, name, inputs[0]->shape, coefficient);
  task.magnitudes = std::move(magnitudes);
  MergeTensor(
      task, seed,
      [&](std::size_t source, std::size_t first, std::span<float> out) {
        std::copy_n(inputs[source]->values.begin() + at(first), out.size(), out.begin());
      },
      [&](const Piece& piece, std::span<const float> values) {
        std::copy(values.begin(), values.end(), merged.begin() + at(piece.first));
      });
  return merged;
}

}  // namespace forge::merge
