// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/int8_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/hadamard.h"
#include "base/thread_pool.h"
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
  // Rooms that only grow: those of a model's layers differ, and new bytes would be set to zero each time.
  const std::size_t held = this->tiles() * width_;
  codes_.resize(std::max(codes_.size(), held * stride_));
  scales_.resize(std::max(scales_.size(), held * blocks_));
  sums_.resize(std::max(sums_.size(), held * blocks_));
}

void Int8Rows::Quantize(const float* x) {
  // Whole blocks of tiles: tokens of a tile are neighbours in memory, which two threads would write in turns.
  constexpr std::size_t kValuesPerTask = 1 << 12;
  ParallelFor(tiles() * blocks_, kValuesPerTask / (width_ * block_), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t tile = i / blocks_, block = i % blocks_;
      QuantizeBlock(tile, block,
                    [&](std::size_t lane) { return x + (tile * width_ + lane) * depth_ + block * block_; });
    }
  });
}

void Int8Rows::QuantizePanels(std::size_t first_row, std::size_t last_row, std::size_t first_block,
                              std::size_t panels, const float* values, std::size_t stride) {
  FORGE_CHECK(first_row % width_ == 0 && block_ % kCodeRows == 0 && depth_ % kCodeRows == 0);
  const std::size_t panels_of_block = block_ / kCodeRows;
  std::vector<float> gathered(block_);
  for (std::size_t row = first_row; row < last_row; row += width_)
    for (std::size_t panel = 0; panel < panels; panel += panels_of_block)
      QuantizeBlock(row / width_, first_block + panel / panels_of_block, [&](std::size_t lane) {
        for (std::size_t p = panel; p < std::min(panels, panel + panels_of_block); ++p)
          std::memcpy(gathered.data() + (p - panel) * kCodeRows,
                      values + (p * stride + row - first_row + lane) * kCodeRows, kCodeRows * sizeof(float));
        return static_cast<const float*>(gathered.data());
      });
}

template <class ValuesOf>
void Int8Rows::QuantizeBlock(std::size_t tile, std::size_t block, const ValuesOf& values_of) {
  thread_local std::vector<std::int8_t> codes;  // [width][padded]
  const std::size_t first = block * block_, length = std::min(block_, depth_ - first),
                    padded = block + 1 == blocks_ ? stride_ - first : length;
  codes.resize(std::max(codes.size(), width_ * padded));
  float* scales = scales_.data() + (tile * blocks_ + block) * width_;
  std::int32_t* sums = sums_.data() + (tile * blocks_ + block) * width_;
  for (std::size_t lane = 0; lane < std::min(width_, rows_ - tile * width_); ++lane) {
    const float* values = values_of(lane);
    thread_local std::vector<float> rotated;
    if (is_rotated_) {
      rotated.assign(values, values + length);
      RotateInputs(rotated);
      values = rotated.data();
    }
    ChosenCodeKernels().quantize(values, length, block_, codes.data() + lane * padded, scales + lane,
                                 sums + lane);
    std::memset(codes.data() + lane * padded + length, 0, padded - length);
  }
  std::int8_t* to = codes_.data() + (tile * stride_ + first) * width_;
  if (width_ == 1) {
    std::memcpy(to, codes.data(), padded);
    return;
  }
  for (std::size_t k = 0; k < padded; k += 4)
    for (std::size_t lane = 0; lane < width_; ++lane, to += 4)
      std::memcpy(to, codes.data() + lane * padded + k, 4);
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
