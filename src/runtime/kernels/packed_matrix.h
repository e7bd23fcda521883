// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

enum class WeightType { kFloat32, kBFloat16, kInt8, kTernary };

/// A linear layer y = x W^T + b, stored for the kernels: panels of 16 output features, [panel][in][16].
/// Narrow types are widened to float panel by panel, so their results equal those of a float32 matrix that
/// holds the same values, to the bit. Output features beyond the last are zeros.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// weights [out, in] row-major; kFloat32, kBFloat16 (round to nearest even), or kInt8: Q8_0, blocks of 32
  /// along `in` with a binary16 scale max|w|/127 (GGUF type 8; `in` must be a multiple of 32).
  static PackedMatrix Pack(std::span<const float> weights, std::size_t out, std::size_t in, WeightType type);
  /// codes [out, in] in {-1, 0, 1}; scales [out, in / group].
  static PackedMatrix PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                  std::size_t out, std::size_t in, std::size_t group);

  std::size_t in() const { return in_; }
  std::size_t out() const { return out_; }
  WeightType type() const { return type_; }
  std::size_t bytes() const;

  /// The weights of one output feature, widened: row [in]. For embedding tables, whose rows are tokens.
  void Row(std::size_t out_feature, float* row) const;

  /// y [rows, out] = x [rows, in] W^T (+ bias [out] if not empty), on the global thread pool.
  /// The result of a row depends on that row only.
  void Multiply(const float* x, std::size_t rows, std::span<const float> bias, float* y) const;

 private:
  std::size_t panels() const { return (out_ + kPanelWidth - 1) / kPanelWidth; }
  /// `count` float panels from `first` on, from the store itself or unpacked into `scratch`: [count, in, 16].
  const float* Panels(std::size_t first, std::size_t count, std::vector<float>& scratch) const;
  void UnpackPanel(std::size_t panel, float* unpacked) const;

  WeightType type_ = WeightType::kFloat32;
  std::size_t in_ = 0, out_ = 0, group_ = 1;
  std::vector<float> floats_;          // kFloat32
  std::vector<std::uint16_t> halves_;  // kBFloat16
  std::vector<std::int8_t> int8_;      // kInt8
  std::vector<std::uint8_t> ternary_;  // kTernary: 4 bytes for each (panel, in)
  std::vector<float> scales_;          // kInt8, kTernary: [panel][in / group][16]
};

}  // namespace forge::runtime
