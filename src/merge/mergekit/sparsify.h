// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "merge/mergekit/operands.h"

namespace forge::merge::mergekit {

/// How a task vector is thinned out to `density` of its n elements.
enum class Sparsifier {
  kNone,
  /// TIES (Yadav et al. 2023, arXiv:2306.01708): the int(density n) largest magnitudes, at least one.
  kMagnitude,
  /// Model Breadcrumbs (Davari and Belilovsky 2024, arXiv:2312.06795): int(density n) magnitudes, after
  /// int(gamma n) larger ones are dropped, fewer where there are not that many elements.
  kOutliers,
  /// DARE (Yu et al. 2024, arXiv:2311.03099): each element with probability density.
  kRandom,
  /// DELLA (Deep et al. 2024, arXiv:2406.11617): at random, the smallest magnitude of a row (dimension 1; a
  /// vector is one row) with density - epsilon, the largest with density + epsilon, linearly by rank.
  kRandomByMagnitude
};

/// Sets what the sparsifier drops to zero. With `rescale` the rest is then multiplied by the ratio of the
/// sums of magnitudes before and after, one factor for the tensor (neither paper's 1 / p), unless one of them
/// is below 1e-7. A density of 1 and above keeps everything and draws nothing; 0 and below drops everything.
/// Throws Error(kInput) where mergekit stops: DARE's density below 0; DELLA's density +- epsilon outside (0,
/// 1), or rows of one element, whose rank has no range.
void Sparsify(const Operands& operands, Sparsifier sparsifier, std::size_t source,
              std::vector<float>& change);

}  // namespace forge::merge::mergekit
