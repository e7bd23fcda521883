// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace forge::runtime {

/// How a matrix is held. Each type stands for the float values that GGUF's type of the same layout has, to
/// the bit: kInt8 for Q8_0, kInt4 for Q4_0, kInt4Minimum for Q4_1; kTernary for scale * {-1, 0, 1}.
enum class WeightType { kFloat32, kFloat16, kBFloat16, kInt8, kInt4, kInt4Minimum, kTernary };

/// Panels of 16 columns (output features) by `depth` rows k.
///
/// The 16 codes of one (panel, k) are `CodeBytes(type)` bytes:
///   kFloat32, kFloat16, kBFloat16   16 numbers of 4 or 2 bytes
///   kInt8      16 signed bytes: value = scale * code
///   kInt4      8 bytes, column c in the low half of byte c, column 8 + c in the high half: scale * (code -
///   8) kInt4Minimum   the same: scale * code + minimum, rounded after the product kTernary   4 bytes, column
///   c in bits 2(c / 4).. of byte c % 4: scale * (code - 1)
/// A scale (and a minimum) belongs to `group` neighbouring k of one column.
struct PackedPanels {
  WeightType type;
  const std::byte* codes;         // [panels][depth][CodeBytes]
  const std::uint16_t* scales;    // binary16, [panels][depth / group][16]; unused by the float types
  const std::uint16_t* minimums;  // the same, of kInt4Minimum
  std::size_t depth, group;
};

constexpr std::size_t CodeBytes(WeightType type) {
  switch (type) {
    case WeightType::kFloat32:
      return 64;
    case WeightType::kFloat16:
    case WeightType::kBFloat16:
      return 32;
    case WeightType::kInt8:
      return 16;
    case WeightType::kInt4:
    case WeightType::kInt4Minimum:
      return 8;
    case WeightType::kTernary:
      return 4;
  }
  return 0;
}

}  // namespace forge::runtime
