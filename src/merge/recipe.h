// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/weight_source.h"

namespace forge::merge {

class TensorStatistics;

/// The two methods of each of the three steps of a recipe; every combination is one of the eight seeds of the
/// original (original-agent-forge.md 1.1), done right.
enum class Continuous { kLinear, kSlerp };
enum class Ensemble { kTies, kDare };
enum class Structure { kFrankenmerge, kDataFlow };
std::string Name(Continuous continuous);
std::string Name(Ensemble ensemble);
std::string Name(Structure structure);

/// Tensors that share a coefficient: attention, MLP, and the rest (embedding, head, norms).
inline constexpr int kComponentGroups = 3;
int ComponentGroup(const model::TensorSpec& spec);
/// Which coefficient of a row of `coefficients` a tensor of a model with `num_layers` layers takes.
int CoefficientIndex(const model::TensorSpec& spec, int num_coefficients, int num_layers);

/// Where a layer of the result comes from: source 0 is the merged model, 1 .. parents the parents.
struct LayerChoice {
  int source = 0;
  int layer = 0;
  bool operator==(const LayerChoice&) const = default;
};

/// How one candidate is made from the base and its parents (fine-tunes of that base), in steps that `forge
/// merge` has methods for (recipe_steps.h; the formulas are those of docs/merge-methods.md, exact numerics).
/// d_p = parent p - base.
///  1. continuous, per component group g, with the coefficients c = coefficients[p][g]; where a parent has
///     several times kComponentGroups of them, they are those of so many equal groups of layers, from the
///     first layer on. The embedding belongs to the first group, final norm and head to the last. linear:
///     base + sum_p c_p d_p. slerp: base + c_1 d_1 is turned towards base + c_2 d_2 (t = slerp_t), then
///     towards the next parent by t / 2, t / 3, ..
///  2. ensemble of the changes D of step 1 and d_1, d_2, .. with weights ensemble_weights [parents + 1];
///  weights
///     of zero leave a model out. ties: trimmed to `density`, a vote on signs, the mean of what agrees. dare:
///     thinned at random to `density` and divided by it, summed. The result is multiplied by lambda.
///     With joins_parents the list is c_1 d_1, c_2 d_2, .. instead, all with weight 1; `continuous` then has
///     no part.
///  3. structure: layer l of the result is layers[l]. frankenmerge keeps the number of layers and chooses a
///     source for each; data-flow (Akiba et al. 2024, arXiv:2403.13187, section 3.2) is a path: any source,
///     any layer, also twice or never. Embedding, final norm and head come from the merged model.
struct MergeRecipe {
  Continuous continuous = Continuous::kLinear;
  Ensemble ensemble = Ensemble::kTies;
  Structure structure = Structure::kFrankenmerge;
  std::vector<std::vector<double>> coefficients;  // [parents][layer groups * kComponentGroups]
  bool joins_parents = false;
  double slerp_t = 0.5;                  // [0, 1]
  std::vector<double> ensemble_weights;  // [parents + 1], >= 0
  double density = 1;                    // (0, 1]
  double lambda = 1;
  std::vector<LayerChoice> layers;
  std::optional<double> rope_theta = {};  // of the merged model; nothing: the base's
  std::uint64_t dare_seed = 1;
};

/// The models that recipes of one run work on. All checked to be compatible. Read tensor by tensor for each
/// recipe, so that processes which map the same files share them.
struct MergeSources {
  const model::ModelConfig* config = nullptr;
  const model::WeightSource* base = nullptr;
  std::vector<const model::WeightSource*> parents;
  TensorStatistics* statistics = nullptr;  // of these; null: each recipe finds out by itself
};

struct MergedModel {
  model::ModelConfig config;  // num_hidden_layers is that of the recipe
  model::ModelWeights weights;
};

/// Applies the recipe, tensor by tensor on the thread pool; the bytes do not depend on the number of threads.
/// Only layers that the structure asks for are computed. Peak memory: the result, and a few tensors a thread.
/// Throws Error(kInput) for a recipe that does not fit the sources.
MergedModel ApplyRecipe(const MergeRecipe& recipe, const MergeSources& sources);

}  // namespace forge::merge
