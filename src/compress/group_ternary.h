// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "model/model_weights.h"

namespace forge::compress {

inline constexpr int kMaxGroup = 1024;

/// The ternary values nearest to one group of weights: the scale alpha and codes t that minimise
///   sum_i h_i (w_i - alpha t_i)^2        (bitnet-ternary.md 1.6)
/// For every alpha the best support is {|w_i| > alpha / 2}, so the optimum keeps a prefix of the weights
/// sorted by |w|; of the prefixes k the best has the largest (sum_k h|w|)^2 / sum_k h, with alpha = sum_k
/// h|w| / sum_k h. BitNet's absmean (arXiv:2402.17764) and TWN's threshold are special cases, never better.
///
///   weights  [n]  n <= kMaxGroup, finite
///   h        [n]  not negative; empty, or all zero: every weight counts the same
///   codes    [n]  out, in {-1, 0, 1}; never nonzero where the weight is 0
///   returns  alpha rounded to binary16, as it is stored; the support is that of the unrounded one
///
/// The support is all |w_i| from a threshold on, so equal |w| get equal codes, and ternary values keep theirs
/// where h is 0 too. A group of zeros, or one whose alpha rounds to 0, gives 0 and codes 0.
///
/// Cost: some ten passes over the group; only the few weights near the threshold are sorted.
float TernarizeGroup(std::span<const float> weights, std::span<const float> h, std::int8_t* codes);

/// A linear, group by group along `in`.
///   weights [out, in], in a multiple of group; h [in] or empty
model::TernaryTensor TernarizeTensor(std::span<const float> weights, std::int64_t out, std::int64_t in,
                                     int group, std::span<const float> h = {});

/// The float values of TernarizeTensor, to the bit, written to quantized [out, in]; allocates nothing. Called
/// for every linear at every step of training; rows are cut over the threads.
void TernarizeValues(const float* weights, std::int64_t out, std::int64_t in, int group,
                     std::span<const float> h, float* quantized);

}  // namespace forge::compress
