// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/packed_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kInt8Group = 32;
constexpr std::size_t kRowsPerTask =
    96;  // a multiple of every tile_rows; an x block of at most a few hundred kB stays in L2

struct Q8Block {
  float scale;
  std::int8_t codes[kInt8Group];
};

Q8Block QuantizeQ8(const float* values) {
  float largest = 0;
  for (std::size_t i = 0; i < kInt8Group; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / 127;
  Q8Block block{RoundToHalf(scale), {}};
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (std::size_t i = 0; i < kInt8Group; ++i)
    block.codes[i] = static_cast<std::int8_t>(std::round(values[i] * inverse));
  return block;
}

}  // namespace

PackedMatrix PackedMatrix::Pack(std::span<const float> weights, std::size_t out, std::size_t in,
                                WeightType type) {
  FORGE_CHECK(weights.size() == out * in && type != WeightType::kTernary);
  FORGE_CHECK(type != WeightType::kInt8 || in % kInt8Group == 0);
  PackedMatrix matrix;
  matrix.type_ = type;
  matrix.in_ = in;
  matrix.out_ = out;
  const std::size_t count = matrix.panels() * in * kPanelWidth;
  if (type == WeightType::kFloat32) matrix.floats_.resize(count);
  if (type == WeightType::kBFloat16) matrix.halves_.resize(count);
  if (type == WeightType::kInt8) {
    matrix.group_ = kInt8Group;
    matrix.int8_.resize(count);
    matrix.scales_.resize(count / kInt8Group);
  }
  ParallelFor(matrix.panels(), 8, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin * kPanelWidth; row < std::min(out, end * kPanelWidth); ++row) {
      const std::size_t base = row / kPanelWidth * in * kPanelWidth + row % kPanelWidth;
      const float* source = weights.data() + row * in;
      if (type == WeightType::kFloat32)
        for (std::size_t k = 0; k < in; ++k) matrix.floats_[base + k * kPanelWidth] = source[k];
      if (type == WeightType::kBFloat16)
        for (std::size_t k = 0; k < in; ++k)
          matrix.halves_[base + k * kPanelWidth] = FloatToBFloat16(source[k]);
      if (type == WeightType::kInt8)
        for (std::size_t k = 0; k < in; k += kInt8Group) {
          const Q8Block block = QuantizeQ8(source + k);
          matrix.scales_[row / kPanelWidth * (in / kInt8Group) * kPanelWidth + k / kInt8Group * kPanelWidth +
                         row % kPanelWidth] = block.scale;
          for (std::size_t i = 0; i < kInt8Group; ++i)
            matrix.int8_[base + (k + i) * kPanelWidth] = block.codes[i];
        }
    }
  });
  return matrix;
}

PackedMatrix PackedMatrix::PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                       std::size_t out, std::size_t in, std::size_t group) {
  FORGE_CHECK(group > 0 && in % group == 0 && codes.size() == out * in &&
              scales.size() == out * (in / group));
  PackedMatrix matrix;
  matrix.type_ = WeightType::kTernary;
  matrix.in_ = in;
  matrix.out_ = out;
  matrix.group_ = group;
  matrix.ternary_.assign(matrix.panels() * in * 4, 0x55);  // 0x55: four codes of zero
  matrix.scales_.resize(matrix.panels() * (in / group) * kPanelWidth);
  for (std::size_t row = 0; row < out; ++row) {
    const std::size_t panel = row / kPanelWidth, column = row % kPanelWidth;
    for (std::size_t k = 0; k < in; ++k) {
      std::uint8_t& byte = matrix.ternary_[(panel * in + k) * 4 + column % 4];
      const int shift = static_cast<int>(2 * (column / 4));
      byte = static_cast<std::uint8_t>((byte & ~(3 << shift)) | (codes[row * in + k] + 1) << shift);
    }
    for (std::size_t g = 0; g < in / group; ++g)
      matrix.scales_[(panel * (in / group) + g) * kPanelWidth + column] = scales[row * (in / group) + g];
  }
  return matrix;
}

std::size_t PackedMatrix::bytes() const {
  return floats_.size() * 4 + halves_.size() * 2 + int8_.size() + ternary_.size() + scales_.size() * 4;
}

const float* PackedMatrix::Panels(std::size_t first, std::size_t count, std::vector<float>& scratch) const {
  const std::size_t size = in_ * kPanelWidth;
  if (type_ == WeightType::kFloat32) return floats_.data() + first * size;
  scratch.resize(count * size);
  for (std::size_t i = 0; i < count; ++i) UnpackPanel(first + i, scratch.data() + i * size);
  return scratch.data();
}

void PackedMatrix::UnpackPanel(std::size_t panel, float* unpacked) const {
  const KernelTable& kernels = Kernels();
  const std::size_t size = in_ * kPanelWidth;
  const float* scales = scales_.data() + panel * (in_ / group_) * kPanelWidth;
  if (type_ == WeightType::kBFloat16) kernels.unpack_bfloat16(halves_.data() + panel * size, size, unpacked);
  if (type_ == WeightType::kInt8)
    kernels.unpack_int8(int8_.data() + panel * size, scales, in_, group_, unpacked);
  if (type_ == WeightType::kTernary)
    kernels.unpack_ternary(ternary_.data() + panel * in_ * 4, scales, in_, group_, unpacked);
}

void PackedMatrix::Row(std::size_t out_feature, float* row) const {
  const std::size_t panel = out_feature / kPanelWidth, column = out_feature % kPanelWidth;
  const float* scales = scales_.data() + panel * (in_ / group_) * kPanelWidth + column;
  for (std::size_t k = 0; k < in_; ++k) {
    const std::size_t index = (panel * in_ + k) * kPanelWidth + column;
    switch (type_) {
      case WeightType::kFloat32:
        row[k] = floats_[index];
        break;
      case WeightType::kBFloat16:
        row[k] = BFloat16ToFloat(halves_[index]);
        break;
      case WeightType::kInt8:
        row[k] = scales[k / group_ * kPanelWidth] * static_cast<float>(int8_[index]);
        break;
      case WeightType::kTernary: {
        const int code = (ternary_[(panel * in_ + k) * 4 + column % 4] >> (2 * (column / 4)) & 3) - 1;
        row[k] = scales[k / group_ * kPanelWidth] * static_cast<float>(code);
      }
    }
  }
}

void PackedMatrix::Multiply(const float* x, std::size_t rows, std::span<const float> bias, float* y) const {
  const auto tile_panels = static_cast<std::size_t>(Kernels().tile_panels);
  const auto work = [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_row,
                        std::size_t last_row) {
    thread_local std::vector<float> scratch;
    for (std::size_t panel = first_panel; panel < last_panel; panel += tile_panels) {
      const std::size_t panel_count = std::min(tile_panels, last_panel - panel);
      const std::size_t column = panel * kPanelWidth;
      const std::size_t columns = std::min(panel_count * kPanelWidth, out_ - column);
      runtime::Multiply({.x = x + first_row * in_,
                         .x_stride = in_,
                         .rows = last_row - first_row,
                         .panels = Panels(panel, panel_count, scratch),
                         .panel_stride = in_ * kPanelWidth,
                         .depth = in_,
                         .out = y + first_row * out_ + column,
                         .out_stride = out_,
                         .columns = columns});
      if (bias.empty()) continue;
      for (std::size_t row = first_row; row < last_row; ++row)
        for (std::size_t c = 0; c < columns; ++c) y[row * out_ + column + c] += bias[column + c];
    }
  };
  // Cut by output features, so that each thread reads its weights once; many rows are cut again to keep x in
  // cache.
  constexpr std::size_t kWorkPerTask = 1
                                       << 18;  // multiply-adds: about 10 us, well above the cost of a wake-up
  const std::size_t threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  const std::size_t pieces =
      std::clamp<std::size_t>(rows * in_ * out_ / kWorkPerTask, 1, std::min(panels(), threads * 4));
  if (pieces == 1) return work(0, panels(), 0, rows);
  ThreadPool::Global().Run(pieces, [&](std::size_t piece) {
    const std::size_t first = panels() * piece / pieces, last = panels() * (piece + 1) / pieces;
    for (std::size_t row = 0; row < rows; row += kRowsPerTask)
      work(first, last, row, std::min(rows, row + kRowsPerTask));
  });
}

}  // namespace forge::runtime
