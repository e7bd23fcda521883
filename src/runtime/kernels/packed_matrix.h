// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "io/gguf_blocks.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

/// A linear layer y = x W^T + b, stored for the kernels: panels of 16 output features (packed_panels.h).
/// Narrow types are widened to float in registers or panel by panel, so their results equal those of a
/// float32 matrix that holds the same values, to the bit. Output features beyond the last are zeros.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// The bytes of one row (output feature) of a stored matrix.
  using RowBytes = std::function<std::span<const std::byte>(std::size_t row)>;

  /// How a stored type is held: as it is where the kernels know it (F32, F16, BF16, Q8_0, Q4_0, Q4_1), else
  /// widened to float32.
  static WeightType HeldAs(io::BlockType stored);
  /// A matrix [out, in] of zeros (not kTernary), whose rows PutRows brings.
  static PackedMatrix Empty(WeightType type, std::size_t out, std::size_t in);
  /// Sets the rows [first, first + count) of an Empty matrix, each once: row i is row(i - first). `stored` is
  /// a type that HeldAs the matrix's, or any if that is kFloat32.
  void PutRows(io::BlockType stored, std::size_t first, std::size_t count, const RowBytes& row);
  /// The same from float32 rows [count, in], rounded as Pack does.
  void PutRows(std::size_t first, std::span<const float> rows);

  /// weights [out, in] row-major, rounded to `type` with the rounding of io::EncodeBlocks: kFloat32,
  /// kFloat16, kBFloat16, or kInt8, kInt4, kInt4Minimum as Q8_0, Q4_0, Q4_1 (`in` a multiple of 32).
  static PackedMatrix Pack(std::span<const float> weights, std::size_t out, std::size_t in, WeightType type);
  /// codes [out, in] in {-1, 0, 1}; scales [out, in / group], each a binary16 number.
  static PackedMatrix PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                  std::size_t out, std::size_t in, std::size_t group);

  std::size_t in() const { return in_; }
  std::size_t out() const { return out_; }
  WeightType type() const { return type_; }
  std::size_t bytes() const { return codes_.size() + 2 * (scales_.size() + minimums_.size()); }

  /// The weights of one output feature, widened: row [in]. For embedding tables, whose rows are tokens.
  void Row(std::size_t out_feature, float* row) const;

  /// y [rows, out] = x [rows, in] W^T (+ bias [out] if not empty), on the global thread pool.
  /// The result of a row depends on that row only.
  void Multiply(const float* x, std::size_t rows, std::span<const float> bias, float* y) const;

 private:
  PackedMatrix(WeightType type, std::size_t out, std::size_t in, std::size_t group);
  std::size_t panels() const { return (out_ + kPanelWidth - 1) / kPanelWidth; }
  PackedPanels view() const { return {type_, codes_.data(), scales_.data(), minimums_.data(), in_, group_}; }
  /// Writes one row of codes (and its scales) into its panel.
  void PutRow(std::size_t row, io::BlockType stored, std::span<const std::byte> bytes);
  void MultiplyPanels(std::size_t first_panel, std::size_t last_panel, const float* x, std::size_t rows,
                      std::span<const float> bias, float* y) const;

  WeightType type_ = WeightType::kFloat32;
  std::size_t in_ = 0, out_ = 0, group_ = 1;
  std::vector<std::byte> codes_;
  std::vector<std::uint16_t> scales_, minimums_;
};

}  // namespace forge::runtime
