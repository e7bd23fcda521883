// SPDX-License-Identifier: Apache-2.0
// AVX2: kBase27 is unpacked for one token (code_base27_tables_avx2.cc has more). The digits of a place
// are found by multiplying with 1/9 and 1/3.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx2.inc"

/// The three digits of places below 32 (damaged ones have a last digit of 3), 16 bits each.
struct Digits {
  __m256i of[3];

  explicit Digits(__m256i places) {
    of[2] = _mm256_srli_epi16(_mm256_mullo_epi16(places, _mm256_set1_epi16(57)), 9);
    const __m256i rest = _mm256_sub_epi16(places, _mm256_mullo_epi16(of[2], _mm256_set1_epi16(9)));
    of[1] = _mm256_srli_epi16(_mm256_mullo_epi16(rest, _mm256_set1_epi16(11)), 5);
    of[0] = _mm256_sub_epi16(rest, _mm256_mullo_epi16(of[1], _mm256_set1_epi16(3)));
  }
};

/// Place `place` of 16 rows: r and 16 + r for the eight from 8 half on.
__m256i PlacesOf(const std::byte* words, std::size_t place, std::size_t half) {
  const __m256i word = Load(words + place / kBase27Places * kBase27WordBytes + 32 * half);
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(5 * (place % kBase27Places)));
  return _mm256_and_si256(_mm256_srl_epi16(word, shift), _mm256_set1_epi16(31));
}

/// A quad of those rows from the codes of its four inputs, 16 bits each.
void StoreQuad(std::uint8_t* out, std::size_t half, __m256i c0, __m256i c1, __m256i c2, __m256i c3) {
  const __m256i first = _mm256_or_si256(c0, _mm256_slli_epi16(c1, 8)),
                second = _mm256_or_si256(c2, _mm256_slli_epi16(c3, 8));
  Store(out + 32 * half, _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xaa));
  Store(out + 64 + 32 * half, _mm256_blend_epi16(_mm256_srli_epi32(first, 16), second, 0xaa));
}

void Unpack(const std::byte* words, std::size_t quads, std::uint8_t* out) {
  for (std::size_t half = 0; half < 2; ++half) {
    std::size_t place = 0;
    for (std::size_t quad = 0; quad < quads; quad += 3, place += 4) {
      std::uint8_t* target = out + quad * kChunkBytes;
      if (quad % 15 == 0) Prefetch(words + place / kBase27Places * kBase27WordBytes);
      const Digits b0(PlacesOf(words, place, half)), b1(PlacesOf(words, place + 1, half));
      if (quads - quad == 1) {
        StoreQuad(target, half, b0.of[0], b0.of[1], b1.of[0], b1.of[1]);
        break;
      }
      const Digits b2(PlacesOf(words, place + 2, half)), b3(PlacesOf(words, place + 3, half));
      for (std::size_t digit = 0; digit < std::min<std::size_t>(3, quads - quad); ++digit)
        StoreQuad(target + digit * kChunkBytes, half, b0.of[digit], b1.of[digit], b2.of[digit], b3.of[digit]);
    }
  }
}

struct Base27 {
  static void Dot(const std::byte* words, const std::int8_t* x, std::size_t quads, __m256i* dots) {
    alignas(32) std::uint8_t unpacked[kMostBlock / 4 * kChunkBytes];
    Unpack(words, quads, unpacked);
    __m256i pairs[kQuarters] = {};
    for (std::size_t q = 0; q < quads; ++q) {
      const __m256i value = Broadcast(x + 4 * q);
#pragma GCC unroll 4
      for (int quarter = 0; quarter < kQuarters; ++quarter)
        pairs[quarter] = AddPairs(pairs[quarter], Load(unpacked + q * kChunkBytes + 32 * quarter), value);
    }
    for (int quarter = 0; quarter < kQuarters; ++quarter) dots[quarter] = PairsToQuads(pairs[quarter]);
  }
};

}  // namespace

const Base27Kernels& Avx2Base27() {
  static constexpr Base27Kernels kernels{.multiply_row = MultiplyRow<Base27, 1>, .unpack = Unpack};
  return kernels;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
