// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/feedback_factor.h"
#include "compress/group_levels.h"

namespace forge::compress {

/// A linear whose weights have become levels of their groups.
struct QuantisedLinear {
  std::int64_t out = 0, in = 0;
  std::int64_t group = 0;               // weights of a row that share levels; divides `in`
  std::vector<float> values;            // [out, in]
  std::vector<GroupLevels> levels;      // [out, in / group]
  std::vector<io::KQuantBlock> blocks;  // [out, in / 256], of K types; their codes are not set

  const GroupLevels& LevelsOf(std::int64_t row, std::int64_t column) const {
    return levels[static_cast<std::size_t>(row * (in / group) + column / group)];
  }
};

/// The weights of a linear and how much they matter.
struct LinearToQuantise {
  std::span<const float> weights;  // [out, in]
  std::int64_t out, in;
  std::span<const float> h;  // [in], mean of x_i^2, or empty
};

/// Every group by itself, every weight to its level.
///   group  divides `in`; 0: one for the whole tensor; that of quantiser.blocks where it has some
QuantisedLinear QuantiseNearest(const LinearToQuantise& linear, const Quantiser& quantiser,
                                std::int64_t group);

/// Column by column; what a column could not express is made good in the later ones (GPTQ;
/// feedback_factor.h): column k becomes the level of v_k = w_k + sum_{j<k} (w_j - level_j) U_jk. The levels
/// of a group are fitted to the v of its columns, as far as earlier groups decide them, when the loop reaches
/// it. Groups longer than 256 weights are fitted to the weights themselves beforehand. Cost: out * in^2 / 2
/// multiply-adds. The rows are independent; same bits for any number of threads.
QuantisedLinear QuantiseWithFeedback(const LinearToQuantise& linear, const Quantiser& quantiser,
                                     std::int64_t group, const FeedbackFactor& factor);

/// Coordinate descent on (w - value) H (w - value)^T of each row, in place: every weight to the level that is
/// best while the others stand; then, for ternary groups, the best scale of each group (rounded to binary16).
/// `rounds` times or until nothing moves. Never raises the error but by rounding.
///   gram  [in, in]
void PolishCodes(const LinearToQuantise& linear, const std::vector<float>& gram, int rounds,
                 QuantisedLinear& quantised);

/// weights - values: [out, in].
std::vector<float> ErrorsOf(const LinearToQuantise& linear, const QuantisedLinear& quantised);

}  // namespace forge::compress
