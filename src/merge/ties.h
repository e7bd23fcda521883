// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "merge/linear.h"

namespace forge::merge {

/// Keeps the `density` largest |values| of a tensor and sets the rest to zero (the trim of TIES). At least
/// one stays. Equal magnitudes at the border are kept by lower index, so the result does not depend on a
/// sort's order.
///   values [n]; density in (0, 1]; cost O(n)
std::vector<float> TrimByMagnitude(std::span<const float> values, double density);

/// TIES merging (Yadav et al. 2023, arXiv:2306.01708, section 3) of the changes of fine-tuned models: trim
/// each to its largest part, elect for every weight the sign with the larger total weighted change, average
/// only the changes that agree with it (disjoint mean, weighted).
///   deltas [models][n]; weights [models], >= 0; density (0, 1]; merged [n]
/// merged = sum of weights[m] d over the agreeing models / sum of their weights; where none agrees it is 0.
/// A sum of exactly zero elects no sign: the change is 0. (lambda of the paper is applied by the caller.)
void Ties(const Deltas& deltas, std::span<const double> weights, double density, std::span<float> merged);

}  // namespace forge::merge
