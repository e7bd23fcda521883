// SPDX-License-Identifier: Apache-2.0
#include "io/small_blocks.h"

#include <algorithm>
#include <cmath>

#include "io/block_scale.h"

namespace forge::io {
namespace {

constexpr int kElements = 32;
constexpr int kHalf = kElements / 2;

/// value = d (q - offset) for nibbles q, the form of Q4_0 and Q5_0, or d q + m.
template <class Value>
void DecodeNibbles(const std::uint8_t* q, float* values, Value value) {
  for (int j = 0; j < kHalf; ++j) {
    values[j] = value(q[j] & 15, j);
    values[j + kHalf] = value(q[j] >> 4, j + kHalf);
  }
}

std::uint32_t LoadFifthBits(const std::uint8_t* bytes) {
  std::uint32_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return bits;
}

int WithFifthBit(int nibble, std::uint32_t fifth, int element) {
  return nibble | static_cast<int>((fifth >> element) & 1) << 4;
}

/// Stores codes of 4 bits in q, or of 5 bits with the fifth ones in `fifth`.
template <class Code>
void EncodeNibbles(const float* values, std::uint8_t* q, Code code) {
  for (int j = 0; j < kHalf; ++j)
    q[j] = static_cast<std::uint8_t>(code(values[j]) | code(values[j + kHalf]) << 4);
}
template <class Code>
void EncodeFiveBits(const float* values, std::uint8_t* fifth, std::uint8_t* q, Code code) {
  std::uint32_t bits = 0;
  for (int j = 0; j < kHalf; ++j) {
    const auto low = static_cast<std::uint32_t>(code(values[j]));
    const auto high = static_cast<std::uint32_t>(code(values[j + kHalf]));
    q[j] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
    bits |= (low >> 4) << j | (high >> 4) << (j + kHalf);
  }
  std::memcpy(fifth, &bits, sizeof bits);
}

/// The value of the largest magnitude, with its sign; the first of equals.
float Extreme(const float* values) {
  float extreme = 0;
  for (int j = 0; j < kElements; ++j)
    if (std::fabs(values[j]) > std::fabs(extreme)) extreme = values[j];
  return extreme;
}

}  // namespace

void DecodeQ8_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes);
  for (int j = 0; j < kElements; ++j)
    values[j] = d * static_cast<float>(static_cast<std::int8_t>(bytes[2 + j]));
}

void EncodeQ8_0(const float* values, std::uint8_t* bytes) {
  const float d = std::fabs(Extreme(values)) / 127;
  const float inverse = InverseStep(d);
  StoreScale(bytes, d);
  for (int j = 0; j < kElements; ++j)
    bytes[2 + j] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(values[j] * inverse)));
}

void DecodeQ4_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes);
  DecodeNibbles(bytes + 2, values, [d](int q, int) { return d * static_cast<float>(q - 8); });
}

void EncodeQ4_0(const float* values, std::uint8_t* bytes) {
  const float d = Extreme(values) / -8;
  const float inverse = InverseStep(d);
  StoreScale(bytes, d);
  EncodeNibbles(values, bytes + 2,
                [&](float x) { return std::min(15, static_cast<int>(x * inverse + 8.5f)); });
}

void DecodeQ4_1(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes), m = LoadScale(bytes + 2);
  DecodeNibbles(bytes + 4, values, [d, m](int q, int) { return d * static_cast<float>(q) + m; });
}

void EncodeQ4_1(const float* values, std::uint8_t* bytes) {
  const auto [least, most] = std::minmax_element(values, values + kElements);
  const float m = *least, d = (*most - m) / 15;
  const float inverse = InverseStep(d);
  StoreScale(bytes, d);
  StoreScale(bytes + 2, m);
  EncodeNibbles(values, bytes + 4,
                [&](float x) { return std::min(15, static_cast<int>((x - m) * inverse + 0.5f)); });
}

void DecodeQ5_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes);
  const std::uint32_t fifth = LoadFifthBits(bytes + 2);
  DecodeNibbles(bytes + 6, values, [d, fifth](int q, int element) {
    return d * static_cast<float>(WithFifthBit(q, fifth, element) - 16);
  });
}

void EncodeQ5_0(const float* values, std::uint8_t* bytes) {
  const float d = Extreme(values) / -16;
  const float inverse = InverseStep(d);
  StoreScale(bytes, d);
  EncodeFiveBits(values, bytes + 2, bytes + 6,
                 [&](float x) { return std::min(31, static_cast<int>(x * inverse + 16.5f)); });
}

void DecodeQ5_1(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes), m = LoadScale(bytes + 2);
  const std::uint32_t fifth = LoadFifthBits(bytes + 4);
  DecodeNibbles(bytes + 8, values, [d, m, fifth](int q, int element) {
    return d * static_cast<float>(WithFifthBit(q, fifth, element)) + m;
  });
}

void EncodeQ5_1(const float* values, std::uint8_t* bytes) {
  const auto [least, most] = std::minmax_element(values, values + kElements);
  const float m = *least, d = (*most - m) / 31;
  const float inverse = InverseStep(d);
  StoreScale(bytes, d);
  StoreScale(bytes + 2, m);
  EncodeFiveBits(values, bytes + 4, bytes + 8,
                 [&](float x) { return static_cast<int>((x - m) * inverse + 0.5f); });
}

}  // namespace forge::io
