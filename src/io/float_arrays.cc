// SPDX-License-Identifier: Apache-2.0
// Plain loops over blocks, which the compiler turns into vectors.
#include "io/float_arrays.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"

namespace forge::io {
namespace {

constexpr std::size_t kBlock = 512;  // copied to and from unaligned bytes at a time

/// The bits of FloatToBFloat16.
std::uint16_t NarrowToBFloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000u;
  return static_cast<std::uint16_t>(is_nan ? (bits >> 16 | 0x40) : rounded);
}

}  // namespace

void WidenFloats(std::span<const std::byte> bytes, FloatType type, std::span<float> out) {
  FORGE_CHECK(bytes.size() == out.size() * BytesOf(type));
  if (type == FloatType::kF32) {
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  std::uint16_t block[kBlock];
  for (std::size_t start = 0; start < out.size(); start += kBlock) {
    const std::size_t count = std::min(kBlock, out.size() - start);
    std::memcpy(block, bytes.data() + start * 2, count * 2);
    float* to = out.data() + start;
    if (type == FloatType::kBF16)
      for (std::size_t i = 0; i < count; ++i)
        to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(block[i]) << 16);
    else
      for (std::size_t i = 0; i < count; ++i) to[i] = HalfToFloat(block[i]);
  }
}

void NarrowFloats(std::span<const float> values, FloatType type, std::byte* bytes) {
  if (type == FloatType::kF32) {
    if (!values.empty()) std::memcpy(bytes, values.data(), values.size_bytes());
    return;
  }
  std::uint16_t block[kBlock];
  for (std::size_t start = 0; start < values.size(); start += kBlock) {
    const std::size_t count = std::min(kBlock, values.size() - start);
    const float* from = values.data() + start;
    if (type == FloatType::kBF16)
      for (std::size_t i = 0; i < count; ++i) block[i] = NarrowToBFloat16(from[i]);
    else
      for (std::size_t i = 0; i < count; ++i) block[i] = FloatToHalf(from[i]);
    std::memcpy(bytes + start * 2, block, count * 2);
  }
}

bool AllFinite(std::span<const float> values) {
  std::uint32_t wrong = 0;
  for (const float value : values)
    wrong |= (std::bit_cast<std::uint32_t>(value) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  return wrong == 0;
}

float LargestMagnitude(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (const float value : values) {
    const std::uint32_t code = std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFF;
    largest = code > largest ? code : largest;
  }
  return std::bit_cast<float>(largest);
}

}  // namespace forge::io
