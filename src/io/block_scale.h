// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/float16.h"

/// The binary16 numbers inside blocks; any alignment.
namespace forge::io {

inline float LoadScale(const std::uint8_t* bytes) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return HalfToFloat(bits);
}

inline void StoreScale(std::uint8_t* bytes, float value) {
  const std::uint16_t bits = FloatToHalf(value);
  std::memcpy(bytes, &bits, 2);
}

/// 1 / step, and 0 for a step that is 0 or too small to have a finite inverse.
inline float InverseStep(float step) { return step != 0 && std::isfinite(1 / step) ? 1 / step : 0; }

}  // namespace forge::io
