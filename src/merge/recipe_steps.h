// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "merge/recipe.h"

namespace forge::merge {

class MagnitudeTable;

/// One step of a recipe: what one document of mergekit's language says. A recipe is a chain of them, so a
/// search and `forge merge` of the exported chain run the same code and give the same bytes.
struct MergeStep {
  std::string method;  // of MethodTable()
  /// The models that go in, the base first where the method has one: 0 is the base of the recipe, 1 ..
  /// parents the parents, parents + 1 + i the result of step i.
  std::vector<int> models;
  /// Of the models but the base: each [1], or [layer groups * kComponentGroups] as MergeRecipe::coefficients.
  /// Empty for slerp.
  std::vector<std::vector<double>> weights = {};
  double density = 1, lambda = 1;  // ties, dare_linear; every method of changes
  double t = 0;                    // slerp
};

/// The steps of a recipe up to its structure, at least one; the last one's result is the merged model.
/// Each result is a model in float32: what a step takes from one before has been rounded to that.
///   sum of changes, nothing thinned   one task_arithmetic
///   linear                            task_arithmetic, then the ensemble over its result and the parents
///   slerp                             a task_arithmetic for each parent, slerps, then the ensemble
///   joins_parents                     a task_arithmetic for each parent, then ties; dare_linear at once
/// The ensemble is ties, dare_linear (weights / density, not rescaled), or task_arithmetic where nothing is
/// thinned or joined.
std::vector<MergeStep> StepsOf(const MergeRecipe& recipe);

/// One tensor by one step.
///   inputs       [models] of the step, equal shapes
///   coefficient  which of a model's weights counts (CoefficientIndex)
///   seed         of what dare drops, keyed with the name
///   magnitudes   as TensorTask has them
std::vector<float> ApplyStep(const MergeStep& step, const std::string& name,
                             const std::vector<const model::Tensor*>& inputs, int coefficient,
                             std::uint64_t seed, std::vector<const MagnitudeTable*> magnitudes = {});

}  // namespace forge::merge
