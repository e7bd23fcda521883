// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "model/weight_source.h"

namespace forge::compress {

/// Which rotations are folded into the weights before they are rounded (QuaRot, arXiv:2404.00456, section 3;
/// QuIP#, arXiv:2402.04396, section 3): the model computes the same function, and outliers of its weights and
/// inputs are spread over many.
///   heads  the values of each key-value head, undone in the columns of o_proj
///   full   that, and the residual stream: embedding, what reads from it and what writes to it. The gains of
///          the norms go into the linears behind them, and that of the last norm into the head, so that a
///          tied head has to be stored by itself
enum class Rotation { kNone, kHeads, kFull };
/// Of "none", "heads", "full".
Rotation RotationOf(std::string_view word);

/// x [size] becomes x S H in place: S has random signs (of `seed`) on its diagonal, H is block-diagonal with
/// Hadamard matrices of the largest power of two that divides the size, over its square root. Orthogonal.
void RotateRow(std::span<float> x, std::uint64_t seed);

/// The rotated model, computed when it is read; `weights` must outlive it. The last tensor read whole is
/// kept, so that pieces of it cost nothing. What it computes differs from the model by float32 rounding only.
/// Cost: n log n for a row of n. Without a rotation the values are those of `weights`.
std::unique_ptr<model::WeightSource> RotatedWeights(const model::WeightSource& weights, Rotation rotation,
                                                    std::uint64_t seed);

}  // namespace forge::compress
