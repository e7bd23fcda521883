// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "merge/exact/tensor_merge.h"

namespace forge::merge {

/// linear, slerp, nuslerp, passthrough, multislerp, karcher, model_stock: sums of the sources with one
/// coefficient each, for the tensor or for each row or column, computed from their products with each other
/// (linear_coefficients.h).
std::unique_ptr<TensorMerge> MakeLinearCombination(const TensorTask& task);

/// task_arithmetic, ties, dare_*, breadcrumbs*, della*: changes are sparsified, weighted, with or without a
/// vote on the sign, summed, divided, multiplied by lambda and added to the base.
std::unique_ptr<TensorMerge> MakeTaskArithmetic(const TensorTask& task, std::uint64_t seed);

/// sce, ram, ramplus_tl, nearswap, arcee_fusion.
std::unique_ptr<TensorMerge> MakeElementwise(const TensorTask& task);
std::unique_ptr<TensorMerge> MakeSce(const TensorTask& task);
std::unique_ptr<TensorMerge> MakeRam(const TensorTask& task);
std::unique_ptr<TensorMerge> MakeNearswap(const TensorTask& task);
std::unique_ptr<TensorMerge> MakeArceeFusion(const TensorTask& task);

}  // namespace forge::merge
