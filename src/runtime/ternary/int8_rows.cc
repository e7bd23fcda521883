// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/int8_rows.h"

#include <cmath>
#include <cstring>

#include "base/hadamard.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {

void RotateInputs(std::span<float> x) {
  const float scale = 1 / std::sqrt(static_cast<float>(kRotation));
  for (float& value : x) value *= scale;
  HadamardBlocks(x, kRotation);
}

void Int8Rows::Resize(std::size_t rows, std::size_t depth, std::size_t block, CodeLayout layout,
                      bool is_rotated) {
  const CodeKernels& kernels = ChosenCodeKernels();
  const std::size_t most = kernels.tile_tokens;
  rows_ = rows;
  depth_ = depth;
  block_ = block;
  layout_ = layout;
  is_rotated_ = is_rotated;
  blocks_ = (depth + block - 1) / block;
  stride_ = (depth + 63) / 64 * 64;
  // As many tiles as needed, of one size: a small one at the end would leave units idle.
  const std::size_t tiles = std::max<std::size_t>(1, (rows + most - 1) / most);
  width_ = std::max<std::size_t>(1, (rows + tiles - 1) / tiles);
  const TableKernels* tables = kernels.tables;
  const bool is_direct = tables != nullptr && layout == tables->direct_layout;
  if (is_direct ? rows > 1
                : tables != nullptr && rows >= tables->fewest_tokens && block >= tables->smallest_block)
    width_ = kTableTokens;
  const std::size_t held = this->tiles() * width_;
  codes_.resize(held * stride_);
  scales_.resize(held * blocks_);
  sums_.resize(held * blocks_);
}

void Int8Rows::Quantize(std::size_t row, const float* x) {
  thread_local std::vector<std::int8_t> codes;
  thread_local std::vector<float> scales;
  thread_local std::vector<std::int32_t> sums;
  if (is_rotated_) {
    thread_local std::vector<float> rotated;
    rotated.assign(x, x + depth_);
    RotateInputs(rotated);
    x = rotated.data();
  }
  codes.assign(stride_, 0);
  scales.resize(blocks_);
  sums.resize(blocks_);
  ChosenCodeKernels().quantize(x, depth_, block_, codes.data(), scales.data(), sums.data());
  const std::size_t tile = row / width_, lane = row % width_;
  std::int8_t* to = codes_.data() + tile * width_ * stride_ + lane * 4;
  for (std::size_t k = 0; k < stride_; k += 4, to += 4 * width_) std::memcpy(to, codes.data() + k, 4);
  for (std::size_t block = 0; block < blocks_; ++block) {
    scales_[(tile * blocks_ + block) * width_ + lane] = scales[block];
    sums_[(tile * blocks_ + block) * width_ + lane] = sums[block];
  }
}

Int8Rows Int8Rows::Row(std::size_t row) const {
  Int8Rows one;
  one.Resize(1, depth_, block_, layout_, is_rotated_);
  const std::size_t tile = row / width_, lane = row % width_;
  const std::int8_t* from = codes_.data() + tile * width_ * stride_ + lane * 4;
  for (std::size_t k = 0; k < stride_; k += 4, from += 4 * width_)
    std::memcpy(one.codes_.data() + k, from, 4);
  for (std::size_t block = 0; block < blocks_; ++block) {
    one.scales_[block] = scales_[(tile * blocks_ + block) * width_ + lane];
    one.sums_[block] = sums_[(tile * blocks_ + block) * width_ + lane];
  }
  return one;
}

}  // namespace forge::runtime
