// SPDX-License-Identifier: Apache-2.0
#include "io/ternary_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/block_scale.h"

namespace forge::io {
namespace {

constexpr int kLarge = 256;  // elements of TQ1_0 and TQ2_0
constexpr int kSmall = 64;   // elements of Q2_0

/// A run of TQ1_0 bytes: byte m of `count` holds the elements first + m + count n, n = 0 .. trits-1, most
/// significant first.
struct TritRun {
  int byte, count, first, trits;
};
constexpr TritRun kTritRuns[] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};

template <int kElements, class Pack>
void EncodeWith(const float* values, Pack pack, std::uint8_t* bytes) {
  float d = 0;
  for (int i = 0; i < kElements; ++i) d = std::max(d, std::fabs(values[i]));
  const float inverse = InverseStep(d);
  std::int8_t codes[kElements];
  for (int i = 0; i < kElements; ++i)  // |x| * inverse may exceed 1 by a rounding, never reach 1.5
    codes[i] = static_cast<std::int8_t>(std::lround(values[i] * inverse));
  pack(codes, FloatToHalf(d), bytes);
}

}  // namespace

void PackTQ1_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes) {
  for (const TritRun& run : kTritRuns) {
    for (int m = 0; m < run.count; ++m) {
      int number = 0;  // of five trits; a missing fifth is 0, the least significant
      for (int n = 0; n < 5; ++n)
        number = number * 3 + (n < run.trits ? codes[run.first + m + run.count * n] + 1 : 0);
      bytes[run.byte + m] =
          static_cast<std::uint8_t>((number * 256 + 242) / 243);  // ceil(number * 256 / 3^5)
    }
  }
  std::memcpy(bytes + 52, &scale, 2);
}

void DecodeTQ1_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes + 52);
  for (const TritRun& run : kTritRuns) {
    for (int m = 0; m < run.count; ++m) {
      auto fraction =
          bytes[run.byte + m];  // of 1, in units of 1/256; each trit is the integer part of 3 times it
      for (int n = 0; n < run.trits; ++n) {
        values[run.first + m + run.count * n] = d * static_cast<float>((fraction * 3 >> 8) - 1);
        fraction = static_cast<std::uint8_t>(fraction * 3);
      }
    }
  }
}

void PackTQ2_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes) {
  for (int half = 0; half < 2; ++half) {
    for (int m = 0; m < 32; ++m) {
      const std::int8_t* c = codes + 128 * half + m;
      bytes[32 * half + m] =
          static_cast<std::uint8_t>((c[0] + 1) | (c[32] + 1) << 2 | (c[64] + 1) << 4 | (c[96] + 1) << 6);
    }
  }
  std::memcpy(bytes + 64, &scale, 2);
}

void DecodeTQ2_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes + 64);
  for (int i = 0; i < kLarge; ++i)
    values[i] = d * static_cast<float>(((bytes[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32))) & 3) - 1);
}

void PackQ2_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes) {
  std::memcpy(bytes, &scale, 2);
  for (int i = 0; i < kSmall; i += 4) {
    const std::int8_t* c = codes + i;
    bytes[2 + i / 4] =
        static_cast<std::uint8_t>((c[0] + 1) | (c[1] + 1) << 2 | (c[2] + 1) << 4 | (c[3] + 1) << 6);
  }
}

void DecodeQ2_0(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes);
  for (int i = 0; i < kSmall; ++i)
    values[i] = d * static_cast<float>(((bytes[2 + i / 4] >> (2 * (i % 4))) & 3) - 1);
}

void EncodeTQ1_0(const float* values, std::uint8_t* bytes) { EncodeWith<kLarge>(values, PackTQ1_0, bytes); }
void EncodeTQ2_0(const float* values, std::uint8_t* bytes) { EncodeWith<kLarge>(values, PackTQ2_0, bytes); }
void EncodeQ2_0(const float* values, std::uint8_t* bytes) { EncodeWith<kSmall>(values, PackQ2_0, bytes); }

}  // namespace forge::io
