// SPDX-License-Identifier: Apache-2.0
#include "io/float_arrays.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/cpu_features.h"
#include "base/float16.h"

namespace forge::io {
namespace {

namespace scalar {
#include "io/float_loops.inc"
}

// Targets are set for these functions only, after all includes.
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
#include "io/float_loops.inc"
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
namespace avx512 {
#include "io/float_loops.inc"
}
#pragma GCC pop_options
#else
namespace avx2 = scalar;
namespace avx512 = scalar;
#endif

template <class... Arguments>
auto Choose(auto* for_scalar, auto* for_avx2, auto* for_avx512, Arguments... arguments) {
  switch (ChosenTarget()) {
    case CpuTarget::kAvx512:
      return for_avx512(arguments...);
    case CpuTarget::kAvx2:
      return for_avx2(arguments...);
    default:
      return for_scalar(arguments...);
  }
}

std::uint32_t LargestCode(std::span<const float> values) {
  return Choose(&scalar::LargestCode, &avx2::LargestCode, &avx512::LargestCode, values.data(), values.size());
}

}  // namespace

void WidenFloats(std::span<const std::byte> bytes, FloatType type, std::span<float> out) {
  FORGE_CHECK(bytes.size() == out.size() * BytesOf(type));
  if (type == FloatType::kF32) {
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  } else if (type == FloatType::kBF16) {
    Choose(&scalar::WidenBFloat16, &avx2::WidenBFloat16, &avx512::WidenBFloat16, bytes.data(), out.data(),
           out.size());
  } else {
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint16_t stored;
      std::memcpy(&stored, bytes.data() + 2 * i, 2);
      out[i] = HalfToFloat(stored);
    }
  }
}

void NarrowFloats(std::span<const float> values, FloatType type, std::byte* bytes) {
  if (type == FloatType::kF32) {
    if (!values.empty()) std::memcpy(bytes, values.data(), values.size_bytes());
  } else if (type == FloatType::kBF16) {
    Choose(&scalar::NarrowToBFloat16, &avx2::NarrowToBFloat16, &avx512::NarrowToBFloat16, values.data(),
           bytes, values.size());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t stored = FloatToHalf(values[i]);
      std::memcpy(bytes + 2 * i, &stored, 2);
    }
  }
}

float LargestOf(FloatType type) {
  return type == FloatType::kF16    ? 65504.0f
         : type == FloatType::kBF16 ? 0x1.FEp127f
                                    : std::numeric_limits<float>::max();
}

bool AllFinite(std::span<const float> values) { return LargestCode(values) < 0x7F800000u; }

bool AllFiniteBFloat16(std::span<const std::byte> bytes) {
  return Choose(&scalar::LargestBFloat16Code, &avx2::LargestBFloat16Code, &avx512::LargestBFloat16Code,
                bytes.data(), bytes.size() / 2) < 0x7F80;
}

float LargestMagnitude(std::span<const float> values) { return std::bit_cast<float>(LargestCode(values)); }

}  // namespace forge::io
