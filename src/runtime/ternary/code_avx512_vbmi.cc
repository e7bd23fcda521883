// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VBMI: a byte of five base-3 digits is looked up in a table of four registers. Other AVX-512
// processors read that layout with AVX2.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <array>
#include <cstring>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx512.inc"
#include "runtime/ternary/code_tile_avx512.inc"

/// The four lower base-3 digits of each byte as two-bit planes. Known when the program is compiled: a table
/// computed at each use took as long as what it was used for.
alignas(64) constexpr auto kPlanesOfBytes = [] {
  std::array<std::uint8_t, 256> planes{};
  for (std::size_t byte = 0; byte < planes.size(); ++byte)
    planes[byte] =
        static_cast<std::uint8_t>(byte % 3 | byte / 3 % 3 << 2 | byte / 9 % 3 << 4 | byte / 27 % 3 << 6);
  return planes;
}();

/// Turns a byte of five base-3 digits into four two-bit planes and the fifth digit, the most significant.
struct Base3Table {
  __m512i low[2], high[2];  // of the bytes 0 .. 127 and 128 .. 255

  Base3Table() {
    low[0] = Load(kPlanesOfBytes.data());
    low[1] = Load(kPlanesOfBytes.data() + 64);
    high[0] = Load(kPlanesOfBytes.data() + 128);
    high[1] = Load(kPlanesOfBytes.data() + 192);
  }
  __m512i Planes(__m512i bytes) const {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), _mm512_permutex2var_epi8(low[0], bytes, low[1]),
                                  _mm512_permutex2var_epi8(high[0], bytes, high[1]));
  }
  static __m512i Fifth(__m512i bytes) {
    const __mmask64 one = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(81));
    const __mmask64 two = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(static_cast<char>(162)));
    return _mm512_mask_mov_epi8(_mm512_maskz_mov_epi8(one, _mm512_set1_epi8(1)), two, _mm512_set1_epi8(2));
  }
};

struct Base3 {
  Base3Table table;

  void Dot(const std::byte* codes, const std::int8_t* x, std::size_t quads, __m512i* dots) const {
    PlaneSums sums;
    __m512i fifths[kHalves] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    std::size_t q = 0;
    for (; q + 5 <= quads; q += 5, codes += kChunkBytes, x += 20) {
      Prefetch(codes);
      const __m512i x0 = Broadcast(x), x1 = Broadcast(x + 4), x2 = Broadcast(x + 8), x3 = Broadcast(x + 12),
                    x4 = Broadcast(x + 16);
#pragma GCC unroll 2
      for (std::size_t half = 0; half < kHalves; ++half) {
        const __m512i bytes = Load(codes + 64 * half);
        sums.Add(half, table.Planes(bytes), x0, x1, x2, x3);
        fifths[half] = _mm512_dpbusd_epi32(fifths[half], table.Fifth(bytes), x4);
      }
    }
    if (q < quads) {  // two-bit codes; those of quads that are not there are zeros, and so is what they add
      std::int8_t rest[16] = {};
      std::memcpy(rest, x, 4 * (quads - q));
      Prefetch(codes);
      for (std::size_t half = 0; half < kHalves; ++half)
        sums.Add(half, Load(codes + 64 * half), Broadcast(rest), Broadcast(rest + 4), Broadcast(rest + 8),
                 Broadcast(rest + 12));
    }
    for (std::size_t half = 0; half < kHalves; ++half)
      dots[half] = _mm512_add_epi32(sums.Total(half), fifths[half]);
  }
};

void UnpackBase3(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  const Base3Table table;
  std::size_t q = 0;
  for (; q + 5 <= quads; q += 5, codes += kChunkBytes, out += 5 * kChunkBytes) {
    Prefetch(codes);
    for (std::size_t half = 0; half < kHalves; ++half) {
      const __m512i bytes = Load(codes + 64 * half);
      StorePlanes(table.Planes(bytes), out + 64 * half);
      _mm512_storeu_si512(out + 4 * kChunkBytes + 64 * half, table.Fifth(bytes));
    }
  }
  if (q < quads) UnpackTwoBit(codes, quads - q, out);
}

struct PackedBase3 {
  Base3Table table;

  template <class Visitor>
  FORGE_INLINE void Visit(const std::byte* codes, const std::byte*, std::size_t quads,
                          const Visitor& quad) const {
    std::size_t q = 0;
    for (; q + 5 <= quads; q += 5, codes += kChunkBytes) {
      Prefetch(codes);
      const Quad bytes = Quad::At(codes);
      PackedTwoBit::VisitPlanes({table.Planes(bytes.first), table.Planes(bytes.second)}, quad);
      quad(Quad{Base3Table::Fifth(bytes.first), Base3Table::Fifth(bytes.second)});
    }
    PackedTwoBit::VisitRest(codes, quads - q, quad);
  }
};

}  // namespace

void UseVbmiForBase3(CodeKernels& kernels) {
  kernels.multiply_row[static_cast<int>(CodeLayout::kBase3)] = MultiplyRow<Base3, 1>;
  kernels.unpack[static_cast<int>(CodeLayout::kBase3)] = UnpackBase3;
  kernels.packed_tile[static_cast<int>(CodeLayout::kBase3)] = Tile<PackedBase3>;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
