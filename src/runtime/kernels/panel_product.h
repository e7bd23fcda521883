// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace forge::runtime {

/// Columns (output features) that one panel holds.
inline constexpr int kPanelWidth = 16;

/// out[r][c] = sum over k of x[r][k] * panels[c / 16][k][c % 16], in order of k, each step one fused
/// multiply-add; with `accumulate` the sum goes on from what is in out[r][c].
struct PanelProduct {
  const float* x;  // [rows, depth], rows `x_stride` floats apart
  std::size_t x_stride;
  std::size_t rows;
  const float* panels;  // [columns / 16 rounded up][depth, 16], panels `panel_stride` floats apart
  std::size_t panel_stride;
  std::size_t depth;
  float* out;  // [rows, columns], rows `out_stride` floats apart
  std::size_t out_stride;
  std::size_t columns;
  bool accumulate = false;
};

/// Computes the product with the tiles of Kernels(), on this thread. The panels are the outer loop: they are
/// read from memory once, while x is expected to stay in cache. Nothing beyond the stated sizes is read or
/// written, but the columns of a panel beyond `columns` are read.
void Multiply(const PanelProduct& product);

}  // namespace forge::runtime
