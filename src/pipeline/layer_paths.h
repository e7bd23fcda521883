// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "evolve/box.h"
#include "merge/recipe.h"

namespace forge::pipeline {

/// Stacks of layers as genes (the data-flow space of Akiba et al. 2024, arXiv:2403.13187, section 3.2, cut
/// into slices instead of single layers, so that few genes say it): the result is `slices` runs of layers,
/// one after the other, each of the merged model or of one parent. Three genes a slice:
///   source [0, parents + 1]   0 to 1: the merged model; p to p + 1: parent p
///   first [0, layers]         layer that the run begins at, cut to a whole number
///   length [0, layers]        how many layers, rounded; 0: the slice is not there
class LayerPaths {
 public:
  /// slices: at most `layers`
  LayerPaths(int parents, int layers, int slices);

  const evolve::Box& box() const { return box_; }
  /// The layers of the merged model in their order, as slices of equal length. The source genes lie near the
  /// border, so that a search soon tries parents.
  std::vector<double> Identity() const;

  /// What genes [3 * slices] stand for. A run ends at the last layer. The number of layers is repaired into
  /// [layers - 1, layers + layers / 4], at least 1: too many are taken off the end of the longest slice (of
  /// equals the last) one by one; what is missing is added to the first slice that has a layer behind its end
  /// to take, else before its start.
  std::vector<merge::LayerChoice> Decode(std::span<const double> genes) const;

 private:
  int parents_, layers_, slices_;
  evolve::Box box_;
};

}  // namespace forge::pipeline
