// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "runtime/ternary/code_matrix.h"

namespace forge::runtime {

/// The row (output feature) with the largest product, and what it took to find it.
struct BestRow {
  std::size_t row;
  float value;             // the bits of CodeMatrix::Multiply
  std::size_t exact_rows;  // rows that were multiplied with both halves of their codes
};

/// For each token the row of its largest product, the lowest row among equals, without the rows in its
/// `banned` [tokens]; nothing if all are. The matrix has the layout kHalves. Reads the upper halves of all
/// codes, and both halves of the panels that can still hold the best row: for one token some 55 % of the
/// bytes of a product, for many with AVX2 half the instructions.
///
/// The lower half l of a code is in 0 .. 15, and its upper half u alone stands for 16 u + 7.5. So the product
/// of row r with activations of blocks b (weight scale d, activation scale s, int8 codes q) is what the upper
/// halves give, plus an error
///   e_r = sum over b of d_rb s_b sum over k of (l_rbk - 7.5) q_bk.
/// With low halves that are uniform and independent of each other and of the activations it has the mean 0
/// and, as (16^2 - 1) / 12 = 21.25, the variance
///   v_r = 21.25 sum over b of d_rb^2 s_b^2 sum over k of q_bk^2,
/// and, a sum of bounded uniform numbers being sub-Gaussian with its own variance, P(e_r >= 8 sqrt(v_r)) <=
/// exp(-32). A row is ruled out if the upper halves and 8 sqrt(v_r) leave it below the best exact product;
/// over all rows of a vocabulary of 151936 a wrong one is picked with less than 2e-9 for each token. Rounding
/// of the two float sums is below 0.01 sqrt(v_r) up to 64 blocks; and so it is, of several tokens, that the
/// sums of 7.5 q are rounded to whole numbers block by block, since a block that is not zero has a code of
/// 127. docs/results.md has what was seen. 8 standard deviations are never guaranteed, they hold for weights
/// as training leaves them, not for ones made up to break them (all lower halves on one side of 7.5, with the
/// signs of the token).
///   x   tokens as CodeMatrix::RoomFor takes them; one, or CanBoundMany
std::vector<std::optional<BestRow>> FindBestRows(const CodeMatrix& matrix, const Int8Rows& x,
                                                 std::span<const std::span<const int>> banned);

/// Whether the processor finds the best rows of several tokens faster so than from all products: with AVX2,
/// which takes two instructions for 8 bits, and with AVX-512 if the matrix is rotated.
bool CanBoundMany(const CodeMatrix& matrix);

}  // namespace forge::runtime
