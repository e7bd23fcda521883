// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/int8_rows.h"

#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {

void Int8Rows::Resize(std::size_t rows, std::size_t depth, std::size_t block) {
  rows_ = rows;
  depth_ = depth;
  block_ = block;
  blocks_ = (depth + block - 1) / block;
  stride_ = (depth + 63) / 64 * 64;
  codes_.resize(rows * stride_);
  scales_.resize(rows * blocks_);
  sums_.resize(rows * blocks_);
}

void Int8Rows::Quantize(std::size_t row, const float* x) {
  std::int8_t* codes = codes_.data() + row * stride_;
  ChosenCodeKernels().quantize(x, depth_, block_, codes, scales_.data() + row * blocks_,
                               sums_.data() + row * blocks_);
  std::fill(codes + depth_, codes + stride_, std::int8_t{0});
}

}  // namespace forge::runtime
