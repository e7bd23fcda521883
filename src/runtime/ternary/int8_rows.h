// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "runtime/ternary/code_panels.h"

namespace forge::runtime {

/// x [size], a multiple of kRotation, as CodePanels::is_rotated has inputs; twice gives x, but for rounding.
void RotateInputs(std::span<float> x);

/// Activations of some tokens, quantised to int8 by blocks along the features (CodeKernels::quantize). All
/// targets give the same bits.
class Int8Rows {
 public:
  /// Room for rows [rows, depth] with a scale for each `block` values (a multiple of 4, unless one block is
  /// all), in tiles that fit the kernels in use for matrices of `layout`; what was held is undefined.
  /// is_rotated: for matrices that are.
  void Resize(std::size_t rows, std::size_t depth, std::size_t block, CodeLayout layout = CodeLayout::kTwoBit,
              bool is_rotated = false);
  /// Sets all rows from x [rows, depth], finite, which are rotated here if they have to be; on the threads of
  /// the global pool.
  void Quantize(const float* x);
  /// Sets rows [first_row, last_row) of whole tiles, in the blocks from first_block on, from values as
  /// products leave them: [panels][stride][kCodeRows], of which the rows are the first. `block` and `depth`
  /// are multiples of kCodeRows; the panels are whole blocks, or end the rows. On this thread; others may set
  /// other blocks or tiles meanwhile.
  void QuantizePanels(std::size_t first_row, std::size_t last_row, std::size_t first_block,
                      std::size_t panels, const float* values, std::size_t stride);

  /// One row alone.
  Int8Rows Row(std::size_t row) const;

  std::size_t rows() const { return rows_; }
  std::size_t depth() const { return depth_; }
  std::size_t block() const { return block_; }
  std::size_t blocks() const { return blocks_; }
  CodeLayout layout() const { return layout_; }
  bool is_rotated() const { return is_rotated_; }
  /// Tokens of a tile; the last may have fewer. kTableTokens where tables may be used (code_tables.h), else
  /// as many as the kernels take at once, or fewer.
  std::size_t width() const { return width_; }
  std::size_t tiles() const { return (rows_ + width_ - 1) / width_; }
  Int8Tile Tile(std::size_t tile) const {
    return {codes_.data() + tile * width_ * stride_, scales_.data() + tile * width_ * blocks_,
            sums_.data() + tile * width_ * blocks_, width_};
  }

 private:
  /// One block of the rows of a tile; values_of(lane) gives those of a row.
  template <class ValuesOf>
  void QuantizeBlock(std::size_t tile, std::size_t block, const ValuesOf& values_of);

  std::size_t rows_ = 0, depth_ = 0, block_ = 1, blocks_ = 0, stride_ = 0, width_ = 1;
  CodeLayout layout_ = CodeLayout::kTwoBit;
  bool is_rotated_ = false;
  // At least:
  std::vector<std::int8_t> codes_;  // [tiles][stride / 4, width, 4]
  std::vector<float> scales_;       // [tiles][blocks, width]
  std::vector<std::int32_t> sums_;  // [tiles][blocks, width]
};

}  // namespace forge::runtime
