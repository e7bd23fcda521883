// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "merge/mergekit_numerics.h"

/// For tests only: one tensor to merge, written down in the test.
namespace forge::merge::testing {

struct Example {
  std::string method;
  std::vector<std::vector<float>> inputs;  // [sources]
  int base = -1;
  TensorParameters::Values shared;                   // others: the defaults of the table
  std::vector<TensorParameters::Values> of_model{};  // [models without the base], or one for all of them
  std::vector<std::int64_t> shape{};                 // empty: a vector
  io::FloatType work_type = io::FloatType::kF32;
  io::FloatType out_type = io::FloatType::kF32;
  StoredChoices choices{};
  std::uint64_t seed = 1;
  std::string tensor = "model.norm.weight";
};

inline TensorParameters::Values WithDefaults(const MethodInfo& method, bool per_model,
                                             TensorParameters::Values values) {
  for (const ParameterRule& rule : method.parameters)
    if (rule.per_model == per_model && rule.default_value) values.emplace(rule.name, *rule.default_value);
  return values;
}

inline TensorTask TaskOf(const Example& example) {
  const MethodInfo& method = GetMethod(example.method, "a test");
  TensorTask task{.name = example.tensor, .shape = example.shape, .method = &method, .base = example.base};
  if (task.shape.empty()) task.shape = {static_cast<std::int64_t>(example.inputs.at(0).size())};
  task.work_type = example.work_type;
  task.out_type = example.out_type;
  task.parameters.shared = WithDefaults(method, false, example.shared);
  std::size_t model = 0;
  for (std::size_t source = 0; source < example.inputs.size(); ++source) {
    task.sources.push_back({static_cast<int>(source), example.tensor});
    TensorParameters::Values& values = task.parameters.of_source.emplace_back();
    if (static_cast<int>(source) == example.base) continue;
    if (!example.of_model.empty()) values = example.of_model[std::min(model++, example.of_model.size() - 1)];
    values = WithDefaults(method, true, values);
  }
  return task;
}

inline std::vector<float> Merged(const Example& example) {
  const TensorTask task = TaskOf(example);
  std::vector<float> merged(task.size());
  MergeTensorAsMergekit(task, {example.inputs.begin(), example.inputs.end()}, example.seed, example.choices,
                        merged);
  return merged;
}

}  // namespace forge::merge::testing
