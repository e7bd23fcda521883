// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace forge {

/// IEEE binary16 to float, exact for every bit pattern.
float HalfToFloat(std::uint16_t half);
/// float to IEEE binary16, round to nearest even; overflow gives infinity, NaN stays NaN.
std::uint16_t FloatToHalf(float value);

/// bfloat16 is the upper half of a float: exact.
inline float BFloat16ToFloat(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}
/// float to bfloat16, round to nearest even; NaN stays a quiet NaN.
std::uint16_t FloatToBFloat16(float value);

/// The float that is left after storing `value` as binary16.
inline float RoundToHalf(float value) { return HalfToFloat(FloatToHalf(value)); }

}  // namespace forge
