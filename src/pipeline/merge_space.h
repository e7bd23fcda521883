// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evolve/box.h"
#include "io/json_file.h"
#include "merge/recipe.h"
#include "pipeline/layer_paths.h"

namespace forge::pipeline {

/// How finely a search sets the share of each parent, from coarse to fine. Each level starts at the optimum
/// of the one before, since many genes need many evaluations (merging.md 5: hundreds above 50 genes).
enum class MergeLevel {
  kModels,      // one coefficient a parent
  kComponents,  // attention, MLP, the rest: three a parent
  kLayers,      // the three for each group of layers
  kPaths        // all of these stay, and layers are stacked anew (layer_paths.h)
};
/// "models", "components", "layers", "paths".
std::string Name(MergeLevel level);

/// Task arithmetic (Ilharco et al. 2023, arXiv:2212.04089) with free coefficients, as a box of genes: the
/// merge is base
/// + sum of c * (parent - base), c by parent and, at finer levels, by component and group of layers. With
/// `with_method` three more genes choose how the changes are joined: which method (a sum, TIES, DARE), the
/// part of the changes it keeps [0.2, 1], and a factor on the result [0.5, 1.5]. Where rope thetas differ one
/// more gene is the logarithm of the merged model's, between the smallest and the largest (to 7 digits); it
/// starts at the base's.
class MergeSpace {
 public:
  struct Shape {
    int parents = 2, layers = 1;
    int layer_groups = 4;  // of kLayers; at most `layers`
    bool with_method = false;
    std::vector<double> rope_thetas = {};  // of the base, then the parents; none or all equal: no gene
  };
  /// Of the levels that set coefficients.
  MergeSpace(MergeLevel level, const Shape& shape);
  /// The level of paths: the merge that `point` of `space` stands for, its layers stacked from `slices` runs.
  MergeSpace(const MergeSpace& space, std::vector<double> point, int slices);

  const evolve::Box& box() const { return box_; }
  merge::MergeRecipe ToRecipe(const std::vector<double>& point, std::uint64_t dare_seed) const;
  /// For the store: coefficients by name, the method in words, and the point.
  io::Json ToJson(const std::vector<double>& point, std::uint64_t dare_seed) const;

  /// Where searches usefully begin: each parent, their average, task arithmetic at 0.3 to 1, and coefficients
  /// inverse to the norms of the parents' changes (NAN, arXiv:2505.16148) summing to those of task arithmetic
  /// at 0.6.
  ///   change_norms  [parents]
  std::vector<std::vector<double>> StartPoints(const std::vector<double>& change_norms) const;
  /// A point of a coarser space of the same shape, as it stands in this one: the same merge. Of paths: the
  /// layers as they are in the point that the space was made of.
  std::vector<double> Refine(const MergeSpace& coarser, const std::vector<double>& point) const;

 private:
  int groups() const;  // of layers
  int coefficients_a_parent() const;
  bool HasThetaGene() const;
  /// The genes behind the coefficients, at their start.
  std::vector<double> OtherGenes() const;
  std::vector<double> Uniform(const std::vector<double>& by_parent) const;

  MergeLevel level_;
  Shape shape_;
  evolve::Box box_;
  /// Of paths only.
  std::optional<LayerPaths> paths_ = {};
  std::shared_ptr<const MergeSpace> merged_ = {};
  std::vector<double> merged_point_ = {};
};

}  // namespace forge::pipeline
