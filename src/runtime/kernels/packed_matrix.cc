// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kBlock = 32;  // values of a Q8_0, Q4_0 or Q4_1 block
constexpr std::size_t kRowsPerTask =
    96;  // a multiple of every tile_rows; an x block of a few hundred kB stays in L2
constexpr std::size_t kRowsInRegisters =
    1;  // up to here a row goes through the packed codes; more rows share floats

bool IsFloat(WeightType type) {
  return type == WeightType::kFloat32 || type == WeightType::kFloat16 || type == WeightType::kBFloat16;
}

io::BlockType StoredAs(WeightType type) {
  switch (type) {
    case WeightType::kFloat16:
      return io::BlockType::kF16;
    case WeightType::kBFloat16:
      return io::BlockType::kBF16;
    case WeightType::kInt8:
      return io::BlockType::kQ8_0;
    case WeightType::kInt4:
      return io::BlockType::kQ4_0;
    case WeightType::kInt4Minimum:
      return io::BlockType::kQ4_1;
    default:
      return io::BlockType::kF32;
  }
}

std::uint16_t LoadUint16(const std::byte* bytes) {
  std::uint16_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

PackedMatrix::PackedMatrix(WeightType type, std::size_t out, std::size_t in, std::size_t group)
    : type_(type), in_(in), out_(out), group_(group), codes_(panels() * in * CodeBytes(type)) {
  if (IsFloat(type)) return;
  scales_.resize(panels() * (in / group) * kPanelWidth);
  if (type == WeightType::kInt4Minimum) minimums_.resize(scales_.size());
}

WeightType PackedMatrix::HeldAs(io::BlockType stored) {
  for (const WeightType type : {WeightType::kFloat16, WeightType::kBFloat16, WeightType::kInt8,
                                WeightType::kInt4, WeightType::kInt4Minimum})
    if (StoredAs(type) == stored) return type;
  return WeightType::kFloat32;
}

PackedMatrix PackedMatrix::Empty(WeightType type, std::size_t out, std::size_t in) {
  FORGE_CHECK(type != WeightType::kTernary && (IsFloat(type) || in % kBlock == 0));
  return PackedMatrix(type, out, in, IsFloat(type) ? std::max<std::size_t>(in, 1) : kBlock);
}

void PackedMatrix::PutRows(io::BlockType stored, std::size_t first, std::size_t count, const RowBytes& row) {
  FORGE_CHECK(first + count <= out_ && (type_ == WeightType::kFloat32 || stored == StoredAs(type_)));
  const std::size_t first_panel = first / kPanelWidth;
  const std::size_t panels = (first + count + kPanelWidth - 1) / kPanelWidth - first_panel;
  ParallelFor(panels, 4, [&](std::size_t begin, std::size_t end) {
    std::vector<float> widened(in_);
    const std::size_t last = std::min(first + count, (first_panel + end) * kPanelWidth);
    for (std::size_t r = std::max(first, (first_panel + begin) * kPanelWidth); r < last; ++r) {
      const std::span<const std::byte> bytes = row(r - first);
      FORGE_CHECK(bytes.size() == io::RowBytes(stored, in_));
      if (stored == StoredAs(type_)) {
        PutRow(r, stored, bytes);
      } else {
        io::DecodeBlocks(stored, bytes, widened);
        PutRow(r, io::BlockType::kF32, std::as_bytes(std::span(widened)));
      }
    }
  });
}

void PackedMatrix::PutRows(std::size_t first, std::span<const float> rows) {
  const std::size_t count = in_ == 0 ? 0 : rows.size() / in_;
  const io::BlockType stored = StoredAs(type_);
  if (stored == io::BlockType::kF32)
    return PutRows(stored, first, count,
                   [&](std::size_t row) { return std::as_bytes(rows.subspan(row * in_, in_)); });
  PutRows(stored, first, count, [&](std::size_t row) {
    thread_local std::vector<std::byte> bytes;
    bytes.resize(io::RowBytes(stored, in_));
    io::EncodeBlocks(stored, rows.subspan(row * in_, in_), bytes);
    return std::span<const std::byte>(bytes);
  });
}

void PackedMatrix::PutRow(std::size_t row, io::BlockType stored, std::span<const std::byte> bytes) {
  const std::size_t panel = row / kPanelWidth, column = row % kPanelWidth, step = CodeBytes(type_);
  std::byte* codes = codes_.data() + panel * in_ * step;
  if (IsFloat(type_)) {
    const std::size_t width = step / kPanelWidth;
    for (std::size_t k = 0; k < in_; ++k)
      std::memcpy(codes + k * step + column * width, bytes.data() + k * width, width);
    return;
  }
  const std::size_t block_bytes = io::Info(stored).bytes;
  for (std::size_t block = 0; block < in_ / kBlock; ++block) {
    const std::byte* source = bytes.data() + block * block_bytes;
    const std::size_t index = (panel * (in_ / kBlock) + block) * kPanelWidth + column;
    scales_[index] = LoadUint16(source);
    source += 2;
    if (type_ == WeightType::kInt4Minimum) {
      minimums_[index] = LoadUint16(source);
      source += 2;
    }
    for (std::size_t i = 0; i < kBlock; ++i) {
      std::byte* target = codes + (block * kBlock + i) * step;
      if (type_ == WeightType::kInt8) {
        target[column] = source[i];
      } else {  // value i is in the low half of byte i, value 16 + i in its high half
        const std::byte nibble = (source[i % 16] >> (i < 16 ? 0 : 4)) & std::byte{15};
        target[column % 8] |= nibble << (column < 8 ? 0 : 4);
      }
    }
  }
}

PackedMatrix PackedMatrix::Pack(std::span<const float> weights, std::size_t out, std::size_t in,
                                WeightType type) {
  FORGE_CHECK(weights.size() == out * in);
  PackedMatrix matrix = Empty(type, out, in);
  matrix.PutRows(0, weights);
  return matrix;
}

PackedMatrix PackedMatrix::PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                       std::size_t out, std::size_t in, std::size_t group) {
  FORGE_CHECK(group > 0 && in % group == 0 && codes.size() == out * in &&
              scales.size() == out * (in / group));
  PackedMatrix matrix(WeightType::kTernary, out, in, group);
  std::fill(matrix.codes_.begin(), matrix.codes_.end(), std::byte{0x55});  // four codes of zero
  for (std::size_t row = 0; row < out; ++row) {
    const std::size_t panel = row / kPanelWidth, column = row % kPanelWidth;
    for (std::size_t k = 0; k < in; ++k) {
      std::byte& byte = matrix.codes_[(panel * in + k) * 4 + column % 4];
      const std::size_t shift = 2 * (column / 4);
      byte = (byte & ~(std::byte{3} << shift)) |
             std::byte{static_cast<unsigned char>(codes[row * in + k] + 1)} << shift;
    }
    for (std::size_t g = 0; g < in / group; ++g) {
      const float scale = scales[row * (in / group) + g];
      FORGE_CHECK(RoundToHalf(scale) == scale);
      matrix.scales_[(panel * (in / group) + g) * kPanelWidth + column] = FloatToHalf(scale);
    }
  }
  return matrix;
}

void PackedMatrix::Row(std::size_t out_feature, float* row) const {
  const std::size_t panel = out_feature / kPanelWidth, column = out_feature % kPanelWidth,
                    step = CodeBytes(type_);
  const std::byte* codes = codes_.data() + panel * in_ * step;
  const auto value = [&](std::size_t k) {
    const std::size_t index = (panel * (in_ / group_) + k / group_) * kPanelWidth + column;
    const std::byte* code = codes + k * step;
    const auto scaled = [&](int number) { return HalfToFloat(scales_[index]) * static_cast<float>(number); };
    const auto nibble = [&] { return std::to_integer<int>(code[column % 8]) >> (4 * (column / 8)) & 15; };
    switch (type_) {
      case WeightType::kFloat32: {
        float number;
        std::memcpy(&number, code + column * 4, 4);
        return number;
      }
      case WeightType::kFloat16:
        return HalfToFloat(LoadUint16(code + column * 2));
      case WeightType::kBFloat16:
        return BFloat16ToFloat(LoadUint16(code + column * 2));
      case WeightType::kInt8:
        return scaled(static_cast<std::int8_t>(code[column]));
      case WeightType::kInt4:
        return scaled(nibble() - 8);
      case WeightType::kInt4Minimum:
        return scaled(nibble()) + HalfToFloat(minimums_[index]);
      case WeightType::kTernary:
        return scaled((std::to_integer<int>(code[column % 4]) >> (2 * (column / 4)) & 3) - 1);
    }
    return 0.0f;
  };
  for (std::size_t k = 0; k < in_; ++k) row[k] = value(k);
}

void PackedMatrix::MultiplyPanels(std::size_t first_panel, std::size_t last_panel, const float* x,
                                  std::size_t rows, std::span<const float> bias, float* y) const {
  const auto together =
      rows <= kRowsInRegisters ? last_panel - first_panel : static_cast<std::size_t>(Kernels().tile_panels);
  const PackedPanels packed = view();
  thread_local std::vector<float> scratch;
  for (std::size_t panel = first_panel; panel < last_panel; panel += together) {
    const std::size_t count = std::min(together, last_panel - panel), column = panel * kPanelWidth;
    const std::size_t columns = std::min(count * kPanelWidth, out_ - column);
    if (rows <= kRowsInRegisters) {
      scratch.resize(count * kPanelWidth);
      for (std::size_t row = 0; row < rows; ++row) {
        Kernels().multiply_row(packed, x + row * in_, panel, panel + count, scratch.data());
        std::copy_n(scratch.data(), columns, y + row * out_ + column);
      }
    } else {
      const float* floats = reinterpret_cast<const float*>(codes_.data()) + panel * in_ * kPanelWidth;
      if (type_ != WeightType::kFloat32) {
        scratch.resize(count * in_ * kPanelWidth);
        for (std::size_t i = 0; i < count; ++i)
          Kernels().unpack(packed, panel + i, scratch.data() + i * in_ * kPanelWidth);
        floats = scratch.data();
      }
      runtime::Multiply({.x = x,
                         .x_stride = in_,
                         .rows = rows,
                         .panels = floats,
                         .panel_stride = in_ * kPanelWidth,
                         .depth = in_,
                         .out = y + column,
                         .out_stride = out_,
                         .columns = columns});
    }
    if (bias.empty()) continue;
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t c = 0; c < columns; ++c) y[row * out_ + column + c] += bias[column + c];
  }
}

void PackedMatrix::Multiply(const float* x, std::size_t rows, std::span<const float> bias, float* y) const {
  // Cut by output features, so that each thread reads its weights once; many rows are cut again to keep x in
  // cache.
  constexpr std::size_t kWorkPerTask = 1 << 17;  // multiply-adds: some 5 us, well above the cost of a wake-up
  const std::size_t threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  const std::size_t pieces =
      std::clamp<std::size_t>(rows * in_ * out_ / kWorkPerTask, 1, std::min(panels(), threads * 4));
  if (pieces == 1) return MultiplyPanels(0, panels(), x, rows, bias, y);
  ThreadPool::Global().Run(pieces, [&](std::size_t piece) {
    const std::size_t first = panels() * piece / pieces, last = panels() * (piece + 1) / pieces;
    for (std::size_t row = 0; row < rows; row += kRowsPerTask)
      MultiplyPanels(first, last, x + row * in_, std::min(kRowsPerTask, rows - row), bias, y + row * out_);
  });
}

}  // namespace forge::runtime
