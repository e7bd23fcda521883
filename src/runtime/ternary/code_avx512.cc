// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VNNI: vpdpbusd adds four products of an unsigned code and a signed activation to each of 16
// lanes, and a lane is a row. The target is set for this file's functions only, as in kernels/avx512.cc.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <array>
#include <cstring>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx512.inc"

// What differs between the layouts: the exact dot products of one block, 16 rows to a vector.

struct TwoBit {
  void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m512i* dots) const {
    PlaneSums sums;
    for (std::size_t q = 0; q < quads; q += 4, codes += kChunkBytes, x += 16) {
      Prefetch(codes);
      const __m512i x0 = Broadcast(x), x1 = Broadcast(x + 4), x2 = Broadcast(x + 8), x3 = Broadcast(x + 12);
#pragma GCC unroll 2
      for (std::size_t half = 0; half < kHalves; ++half)
        sums.Add(half, Load(codes + 64 * half), x0, x1, x2, x3);
    }
    for (std::size_t half = 0; half < kHalves; ++half) dots[half] = sums.Total(half);
  }
};

struct Int4 {
  void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m512i* dots) const {
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i low[kHalves], high[kHalves];
    for (std::size_t half = 0; half < kHalves; ++half) low[half] = high[half] = _mm512_setzero_si512();
    for (std::size_t q = 0; q < quads; q += 2, codes += kChunkBytes, x += 8) {
      Prefetch(codes);
      const __m512i x0 = Broadcast(x), x1 = Broadcast(x + 4);
#pragma GCC unroll 2
      for (std::size_t half = 0; half < kHalves; ++half) {
        const __m512i bytes = Load(codes + 64 * half);
        low[half] = _mm512_dpbusd_epi32(low[half], _mm512_and_si512(bytes, mask), x0);
        high[half] = _mm512_dpbusd_epi32(high[half], _mm512_andnot_si512(mask, bytes), x1);  // 16-fold
      }
    }
    for (std::size_t half = 0; half < kHalves; ++half)
      dots[half] = _mm512_add_epi32(low[half], _mm512_srai_epi32(high[half], 4));
  }
};

struct Int8 {
  void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m512i* dots) const {
    __m512i sums[2][kHalves];
    for (auto& pair : sums)
      for (__m512i& sum : pair) sum = _mm512_setzero_si512();
    for (std::size_t q = 0; q < quads; q += 2, codes += 2 * kChunkBytes, x += 8) {
      for (std::size_t odd = 0; odd < std::min<std::size_t>(2, quads - q); ++odd) {
        const std::byte* chunk = codes + odd * kChunkBytes;
        Prefetch(chunk);
        const __m512i value = Broadcast(x + 4 * odd);
        for (std::size_t half = 0; half < kHalves; ++half)
          sums[odd][half] = _mm512_dpbusd_epi32(sums[odd][half], Load(chunk + 64 * half), value);
      }
    }
    for (std::size_t half = 0; half < kHalves; ++half)
      dots[half] = _mm512_add_epi32(sums[0][half], sums[1][half]);
  }
};

void UnpackInt4(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  for (std::size_t q = 0; q < quads; q += 2, codes += kChunkBytes, out += 2 * kChunkBytes) {
    Prefetch(codes);
    for (std::size_t half = 0; half < kHalves; ++half) {
      const __m512i bytes = Load(codes + 64 * half);
      _mm512_storeu_si512(out + 64 * half, _mm512_and_si512(bytes, mask));
      _mm512_storeu_si512(out + kChunkBytes + 64 * half, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask));
    }
  }
}

// Twelve tokens by 32 rows: 24 sums, so that a broadcast and a vector of codes serve many products. All loops
// over the sums are unrolled: one left over would keep the array in memory.
constexpr int kTokensOfTile = 12;

template <int kTokens>
void TileTokens(const CodeTile& tile) {
  const std::size_t x_stride = tile.x_stride, quads = tile.quads;
  for (std::size_t block = 0; block < tile.blocks; ++block) {
    const std::uint8_t* codes = tile.codes + block * tile.code_stride;
    const std::int8_t* x = tile.x + block * 4 * quads;
    __m512i sums[kTokens][kHalves];
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t)
      sums[t][0] = sums[t][1] = _mm512_set1_epi32(
          -tile.zero * tile.x_sums[static_cast<std::size_t>(t) * tile.blocks_stride + block]);
    for (std::size_t q = 0; q < quads; ++q, codes += kChunkBytes, x += 4) {
      const __m512i first = Load(codes), second = Load(codes + 64);
#pragma GCC unroll 12
      for (int t = 0; t < kTokens; ++t) {
        const __m512i value = Broadcast(x + static_cast<std::size_t>(t) * x_stride);
        sums[t][0] = _mm512_dpbusd_epi32(sums[t][0], first, value);
        sums[t][1] = _mm512_dpbusd_epi32(sums[t][1], second, value);
      }
    }
    const __m512 scales[kHalves] = {Scales(tile.weight_scales[block], 0),
                                    Scales(tile.weight_scales[block], 1)};
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) {
      const __m512 x_scale =
          _mm512_set1_ps(tile.x_scales[static_cast<std::size_t>(t) * tile.blocks_stride + block]);
      float* y = tile.y + static_cast<std::size_t>(t) * kCodeRows;
#pragma GCC unroll 2
      for (std::size_t half = 0; half < kHalves; ++half)
        _mm512_storeu_ps(y + 16 * half, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][half]),
                                                        _mm512_mul_ps(scales[half], x_scale),
                                                        _mm512_loadu_ps(y + 16 * half)));
    }
  }
}

void Tile(const CodeTile& tile) {
  static constexpr auto kByTokens = []<int... kTokens>(std::integer_sequence<int, kTokens...>) {
    return std::array<void (*)(const CodeTile&), sizeof...(kTokens)>{TileTokens<kTokens + 1>...};
  }
  (std::make_integer_sequence<int, kTokensOfTile>());
  kByTokens[tile.tokens - 1](tile);
}

}  // namespace

const CodeKernels& Avx512CodeKernels() {
  static const CodeKernels table = [] {
    CodeKernels kernels = Avx2CodeKernels();
    kernels.multiply_row[static_cast<int>(CodeLayout::kTwoBit)] = MultiplyRow<TwoBit, 1>;
    kernels.multiply_row[static_cast<int>(CodeLayout::kInt4)] = MultiplyRow<Int4, 8>;
    kernels.multiply_row[static_cast<int>(CodeLayout::kInt8)] = MultiplyRow<Int8, 128>;
    kernels.unpack[static_cast<int>(CodeLayout::kTwoBit)] = UnpackTwoBit;
    kernels.unpack[static_cast<int>(CodeLayout::kInt4)] = UnpackInt4;
    kernels.tile_tokens = kTokensOfTile;
    kernels.tile = kernels.byte_tile = Tile;
    if (__builtin_cpu_supports("avx512vbmi")) UseVbmiForBase3(kernels);
    return kernels;
  }();
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
