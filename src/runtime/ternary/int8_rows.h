// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/ternary/code_panels.h"

namespace forge::runtime {

/// Activations of some tokens, quantised to int8 by blocks along the features (CodeKernels::quantize). All
/// targets give the same bits.
class Int8Rows {
 public:
  /// Room for rows [rows, depth] with a scale for each `block` values; what was held is undefined.
  void Resize(std::size_t rows, std::size_t depth, std::size_t block);
  /// Sets one row from x [depth], finite. Different rows may be set from different threads.
  void Quantize(std::size_t row, const float* x);

  std::size_t rows() const { return rows_; }
  std::size_t depth() const { return depth_; }
  std::size_t block() const { return block_; }
  std::size_t stride() const { return stride_; }
  std::size_t blocks() const { return blocks_; }
  Int8Row Row(std::size_t row) const {
    return {codes_.data() + row * stride_, scales_.data() + row * blocks_, sums_.data() + row * blocks_};
  }

 private:
  std::size_t rows_ = 0, depth_ = 0, block_ = 1, blocks_ = 0, stride_ = 0;
  std::vector<std::int8_t> codes_;  // [rows, stride]
  std::vector<float> scales_;       // [rows, blocks]
  std::vector<std::int32_t> sums_;  // [rows, blocks]
};

}  // namespace forge::runtime
