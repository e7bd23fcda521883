// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "runtime/ternary/code_matrix.h"

namespace forge::runtime {

/// The row (output feature) with the largest product, and what it took to find it.
struct BestRow {
  std::size_t row;
  float value;             // the bits of CodeMatrix::Multiply
  std::size_t exact_rows;  // rows that were multiplied with both halves of their codes
};

/// The row of the largest product with one token, the lowest row among equals, without the rows in `banned`;
/// nothing if all are. The matrix has the layout kHalves. Reads the upper halves of all codes, and both
/// halves of the panels that can still hold the best row: some 55 % of the bytes of a product.
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
/// of the two float sums is below 0.01 sqrt(v_r) up to 64 blocks. docs/results.md has
/// what was seen. 8 standard deviations are never guaranteed, they hold for weights as training leaves
/// them, not for ones made up to break them (all lower halves on one side of 7.5, with the signs of the
/// token).
///   x   one token, quantised with the matrix's block
std::optional<BestRow> FindBestRow(const CodeMatrix& matrix, const Int8Rows& x, std::span<const int> banned);

}  // namespace forge::runtime
