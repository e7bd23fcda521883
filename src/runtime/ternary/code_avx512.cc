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
#include "runtime/ternary/code_tile_avx512.inc"

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

/// On Zen 4 a look-up and an addition take 1.3 times as long as a vpdpbusd, for 1.5 times the products
/// (measured; Zen 5 has twice the units for each of them). Intel's processors look up half as fast as they
/// multiply.
bool TablesAreFaster() { return __builtin_cpu_is("amd"); }

}  // namespace

const CodeKernels& Avx512CodeKernels() {
  static const CodeKernels table = [] {
    CodeKernels kernels = Avx2CodeKernels();
    kernels.tables = TablesAreFaster() ? &Avx512TableKernels() : nullptr;
    if (TablesAreFaster()) kernels.multiply_row[static_cast<int>(CodeLayout::kBase27)] = MultiplyBase27Row;
    kernels.multiply_row[static_cast<int>(CodeLayout::kTwoBit)] = MultiplyRow<TwoBit, 1>;
    kernels.multiply_row[static_cast<int>(CodeLayout::kInt4)] = MultiplyRow<Int4, 8>;
    kernels.multiply_row[static_cast<int>(CodeLayout::kInt8)] = MultiplyRow<Int8, 128>;
    kernels.multiply_row[static_cast<int>(CodeLayout::kHalves)] = Avx512HalfKernels().multiply_row;
    kernels.unpack[static_cast<int>(CodeLayout::kTwoBit)] = UnpackTwoBit;
    kernels.unpack[static_cast<int>(CodeLayout::kInt4)] = UnpackInt4;
    kernels.tile_tokens = kTokensOfTile;
    kernels.tile = kernels.byte_tile = Tile<AsBytes>;
    kernels.packed_tile[static_cast<int>(CodeLayout::kTwoBit)] = Tile<PackedTwoBit>;
    kernels.packed_tile[static_cast<int>(CodeLayout::kInt4)] = Tile<PackedInt4>;
    kernels.packed_tile[static_cast<int>(CodeLayout::kInt8)] = Tile<PackedInt8>;
    kernels.packed_tile[static_cast<int>(CodeLayout::kHalves)] = Avx512HalfKernels().packed_tile;
    kernels.halves = &Avx512HalfKernels();
    if (__builtin_cpu_supports("avx512vbmi")) UseVbmiForBase3(kernels);
    return kernels;
  }();
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
