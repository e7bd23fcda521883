// SPDX-License-Identifier: Apache-2.0
// AVX2: vpmaddubsw multiplies unsigned codes with signed activations and adds pairs in 16 bits. Codes up to
// 2 leave room for the 128 pairs of a whole block there (kMostBlock), codes up to 15 for the 16 of a block of
// 32, so that vpmaddwd is needed once a block only. The target is set as in kernels/avx2.cc.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx2.inc"

/// The two bits of plane p of each byte.
template <int kPlane>
__m256i Plane(__m256i planes) {
  return _mm256_and_si256(_mm256_srli_epi16(planes, 2 * kPlane), _mm256_set1_epi8(3));
}

struct Digits {
  __m256i of[5];
};

/// Takes the digit of `place` (81, 27, 9, 3) off bytes that are less than 3 place.
__m256i TakeDigit(__m256i& bytes, int place) {
  const __m256i one = _mm256_set1_epi8(static_cast<char>(place)),
                two = _mm256_set1_epi8(static_cast<char>(2 * place));
  const __m256i at_least_one = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, one), bytes),
                at_least_two = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, two), bytes);
  bytes = _mm256_sub_epi8(
      bytes, _mm256_add_epi8(_mm256_and_si256(at_least_one, one), _mm256_and_si256(at_least_two, one)));
  return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(at_least_one, at_least_two));
}

Digits ToDigits(__m256i bytes) {
  Digits digits;
  digits.of[4] = TakeDigit(bytes, 81);
  digits.of[3] = TakeDigit(bytes, 27);
  digits.of[2] = TakeDigit(bytes, 9);
  digits.of[1] = TakeDigit(bytes, 3);
  digits.of[0] = bytes;
  return digits;
}

/// The largest |x| of a block, which has no NaN.
float MostOf(const float* x, std::size_t size) {
  const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const auto larger = [&](__m256 most, const float* eight) {
    return _mm256_max_ps(most, _mm256_and_ps(_mm256_loadu_ps(eight), positive));
  };
  __m256 parts[4] = {};
  std::size_t i = 0;
  for (; i + 32 <= size; i += 32)
    for (std::size_t part = 0; part < 4; ++part) parts[part] = larger(parts[part], x + i + 8 * part);
  for (; i + 8 <= size; i += 8) parts[0] = larger(parts[0], x + i);
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, _mm256_max_ps(_mm256_max_ps(parts[0], parts[1]), _mm256_max_ps(parts[2], parts[3])));
  float most = 0;
  for (const float lane : lanes) most = std::max(most, lane);
  for (; i < size; ++i) most = std::max(most, std::fabs(x[i]));
  return most;
}

/// codes [size] = x * factor, rounded; their sum.
std::int32_t Round(const float* x, std::size_t size, float factor, std::int8_t* codes) {
  const __m256 factors = _mm256_set1_ps(factor);
  __m256i total = _mm256_setzero_si256();
  const auto eight = [&](const float* from) {
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from), factors));
    total = _mm256_add_epi32(total, rounded);
    return rounded;
  };
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // of fours, as packing leaves them
  std::size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    const __m256i low = _mm256_packs_epi32(eight(x + i), eight(x + i + 8)),
                  high = _mm256_packs_epi32(eight(x + i + 16), eight(x + i + 24));
    Store(codes + i, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
  }
  for (; i + 8 <= size; i += 8) {
    const __m256i rounded = eight(x + i);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + i), _mm_packs_epi16(words, words));
  }
  alignas(32) std::int32_t parts[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(parts), total);
  std::int32_t sum = 0;
  for (const std::int32_t part : parts) sum += part;
  for (; i < size; ++i) {
    codes[i] = static_cast<std::int8_t>(_mm_cvtss_si32(_mm_set_ss(x[i] * factor)));
    sum += codes[i];
  }
  return sum;
}

void Quantize(const float* x, std::size_t size, std::size_t block, std::int8_t* codes, float* scales,
              std::int32_t* sums) {
  for (std::size_t start = 0; start < size; start += block, ++scales, ++sums) {
    const std::size_t length = std::min(block, size - start);
    const float most = MostOf(x + start, length), inverse = 127.0f / most;
    const bool is_zero = !std::isfinite(inverse);
    *scales = is_zero ? 0.0f : most / 127.0f;
    *sums = is_zero ? 0 : Round(x + start, length, inverse, codes + start);
    if (is_zero) std::memset(codes + start, 0, length);
  }
}

// What differs between the layouts: the exact dot products of one block, 8 rows to a vector.

void DotTwoBit(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m256i* pairs) {
  for (std::size_t q = 0; q < quads; q += 4, codes += kChunkBytes, x += 16) {
    Prefetch(codes);
    const __m256i x0 = Broadcast(x), x1 = Broadcast(x + 4), x2 = Broadcast(x + 8), x3 = Broadcast(x + 12);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const __m256i planes = Load(codes + 32 * quarter);
      pairs[quarter] = AddPairs(pairs[quarter], Plane<0>(planes), x0);
      pairs[quarter] = AddPairs(pairs[quarter], Plane<1>(planes), x1);
      pairs[quarter] = AddPairs(pairs[quarter], Plane<2>(planes), x2);
      pairs[quarter] = AddPairs(pairs[quarter], Plane<3>(planes), x3);
    }
  }
}

struct TwoBit {
  static void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m256i* dots) {
    __m256i pairs[kQuarters] = {};
    DotTwoBit(codes, x, quads, pairs);
    for (int quarter = 0; quarter < kQuarters; ++quarter) dots[quarter] = PairsToQuads(pairs[quarter]);
  }
};

struct Base3 {
  static void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m256i* dots) {
    __m256i pairs[kQuarters] = {};
    std::size_t q = 0;
    for (; q + 5 <= quads; q += 5, codes += kChunkBytes, x += 20) {
      Prefetch(codes);
      for (int quarter = 0; quarter < kQuarters; ++quarter) {
        const Digits digits = ToDigits(Load(codes + 32 * quarter));
#pragma GCC unroll 5
        for (int digit = 0; digit < 5; ++digit)
          pairs[quarter] = AddPairs(pairs[quarter], digits.of[digit], Broadcast(x + 4 * digit));
      }
    }
    if (q < quads) {  // two-bit codes; those of quads that are not there are zeros, and so is what they add
      std::int8_t rest[16] = {};
      std::memcpy(rest, x, 4 * (quads - q));
      DotTwoBit(codes, rest, quads - q, pairs);
    }
    for (int quarter = 0; quarter < kQuarters; ++quarter) dots[quarter] = PairsToQuads(pairs[quarter]);
  }
};

/// Codes with zero 128 as signed numbers, whose products with int8 fit 16 bits in pairs if the sign goes to
/// the other factor: 2 * 128 * 127 < 32768.
__m256i Signed(__m256i codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8(-128)); }
__m256i AddSigned(__m256i sums, __m256i weights, __m256i magnitudes, __m256i x) {
  return _mm256_add_epi32(sums, PairsToQuads(_mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(x, weights))));
}

struct Int8 {
  static void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m256i* dots) {
    __m256i sums[kQuarters] = {};
    for (std::size_t q = 0; q < quads; ++q, codes += kChunkBytes, x += 4) {
      Prefetch(codes);
      const __m256i value = Broadcast(x);
#pragma GCC unroll 4
      for (int quarter = 0; quarter < kQuarters; ++quarter) {
        const __m256i weights = Signed(Load(codes + 32 * quarter));
        sums[quarter] = AddSigned(sums[quarter], weights, _mm256_abs_epi8(weights), value);
      }
    }
    for (int quarter = 0; quarter < kQuarters; ++quarter) dots[quarter] = sums[quarter];
  }
};

void UnpackTwoBit(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  for (std::size_t q = 0; q < quads; q += 4, codes += kChunkBytes, out += 4 * kChunkBytes) {
    Prefetch(codes);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const __m256i planes = Load(codes + 32 * quarter);
      std::uint8_t* target = out + 32 * quarter;
      Store(target, Plane<0>(planes));
      Store(target + kChunkBytes, Plane<1>(planes));
      Store(target + 2 * kChunkBytes, Plane<2>(planes));
      Store(target + 3 * kChunkBytes, Plane<3>(planes));
    }
  }
}

void UnpackBase3(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  std::size_t q = 0;
  for (; q + 5 <= quads; q += 5, codes += kChunkBytes, out += 5 * kChunkBytes) {
    Prefetch(codes);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const Digits digits = ToDigits(Load(codes + 32 * quarter));
      for (std::size_t digit = 0; digit < 5; ++digit)
        Store(out + digit * kChunkBytes + 32 * static_cast<std::size_t>(quarter), digits.of[digit]);
    }
  }
  if (q < quads) UnpackTwoBit(codes, quads - q, out);
}

void UnpackInt4(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (std::size_t q = 0; q < quads; q += 2, codes += kChunkBytes, out += 2 * kChunkBytes) {
    Prefetch(codes);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const __m256i bytes = Load(codes + 32 * quarter);
      Store(out + 32 * quarter, _mm256_and_si256(bytes, mask));
      Store(out + kChunkBytes + 32 * quarter, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask));
    }
  }
}

// Four tokens by 16 rows at a time: eight sums, two vectors of codes and what is between fit 16 registers.
constexpr int kTokensOfTile = 4;

struct PairSums {  // in 16 bits through a block
  static __m256i Weights(const std::byte* codes) { return Load(codes); }
  static __m256i Magnitudes(__m256i weights) { return weights; }
  static __m256i Add(__m256i sums, __m256i weights, __m256i, __m256i x) { return AddPairs(sums, weights, x); }
  static __m256i Total(__m256i sums, int zero_bits, std::int32_t x_sum) {
    return _mm256_sub_epi32(PairsToQuads(sums), _mm256_set1_epi32(x_sum * (1 << zero_bits)));
  }
};

struct SignedSums {  // of bytes with zero 128
  static __m256i Weights(const std::byte* codes) { return Signed(Load(codes)); }
  static __m256i Magnitudes(__m256i weights) { return _mm256_abs_epi8(weights); }
  static __m256i Add(__m256i sums, __m256i weights, __m256i magnitudes, __m256i x) {
    return AddSigned(sums, weights, magnitudes, x);
  }
  static __m256i Total(__m256i sums, int, std::int32_t) { return sums; }
};

template <class Sums, int kTokens>
void TileTokens(const CodeTile& tile) {
  const std::size_t quads = tile.quads, x_step = 4 * tile.x_width;
  for (std::size_t block = 0; block < tile.blocks; ++block)
    for (int pair = 0; pair < kQuarters; pair += 2) {
      const std::byte* codes = tile.codes + block * tile.code_stride + 32 * pair;
      const std::int8_t* x = tile.x + block * quads * x_step;
      __m256i sums[kTokens][2];
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
      for (std::size_t q = 0; q < quads; ++q, codes += kChunkBytes, x += x_step) {
        const __m256i first = Sums::Weights(codes), second = Sums::Weights(codes + 32);
        const __m256i first_size = Sums::Magnitudes(first), second_size = Sums::Magnitudes(second);
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; ++t) {
          const __m256i value = Broadcast(x + 4 * t);
          sums[t][0] = Sums::Add(sums[t][0], first, first_size, value);
          sums[t][1] = Sums::Add(sums[t][1], second, second_size, value);
        }
      }
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const std::size_t at = block * tile.x_width + static_cast<std::size_t>(t);
        const __m256 x_scale = _mm256_set1_ps(tile.x_scales[at]);
        float* y = tile.y + static_cast<std::size_t>(t) * kCodeRows + 8 * pair;
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const __m256i dot = Sums::Total(sums[t][half], tile.zero_bits, tile.x_sums[at]);
          const __m256 scale = _mm256_mul_ps(Scales(tile.weight_scales[block], pair + half), x_scale);
          _mm256_storeu_ps(y + 8 * half,
                           _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, _mm256_loadu_ps(y + 8 * half)));
        }
      }
    }
}

template <class Sums>
void Tile(const CodeTile& tile) {
  static constexpr auto kByTokens = []<int... kTokens>(std::integer_sequence<int, kTokens...>) {
    return std::array<void (*)(const CodeTile&), sizeof...(kTokens)>{TileTokens<Sums, kTokens + 1>...};
  }
  (std::make_integer_sequence<int, kTokensOfTile>());
  kByTokens[tile.tokens - 1](tile);
}

}  // namespace

const CodeKernels& Avx2CodeKernels() {
  static const CodeKernels table{
      .quantize = Quantize,
      .multiply_row = {MultiplyRow<TwoBit, 1>, MultiplyRow<Base3, 1>, MultiplyRow<Int4, 8>,
                       MultiplyRow<Int8, 0>, Avx2HalfKernels().multiply_row, Avx2Base27().multiply_row},
      .unpack = {UnpackTwoBit, UnpackBase3, UnpackInt4, nullptr, nullptr, Avx2Base27().unpack},
      .tile_tokens = kTokensOfTile,
      .tile = Tile<PairSums>,
      .byte_tile = Tile<SignedSums>,
      .packed_tile = {nullptr, nullptr, nullptr, nullptr, Avx2HalfKernels().packed_tile},
      .tables = &Avx2TableKernels(),
      .halves = &Avx2HalfKernels()};
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
