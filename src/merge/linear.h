// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace forge::merge {

/// Deltas of one tensor: [models], each [n], fine-tuned minus base, same order of elements.
using Deltas = std::vector<std::span<const float>>;

/// Task arithmetic (Ilharco et al. 2023, arXiv:2212.04089): merged[i] = sum over models of weights[m] *
/// deltas[m][i]. Weights 1/models give the plain average of the models once the base is added. Sums in model
/// order, float32. Lengths must agree (checked). Cost O(models * n).
void Linear(const Deltas& deltas, std::span<const double> weights, std::span<float> merged);

}  // namespace forge::merge
