// SPDX-License-Identifier: Apache-2.0
// AVX-512 kernels of 8-bit codes in halves: each half is a product with 4-bit codes (code_avx512.inc), and
// the upper one counts 16-fold.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <array>
#include <cstring>
#include <limits>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx512.inc"
#include "runtime/ternary/code_tile_avx512.inc"

void MultiplyRow(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last, float* y) {
  constexpr Int4 layout;
  const std::size_t blocks = panels.blocks();
  for (std::size_t panel = first; panel < last; ++panel, y += kCodeRows) {
    __m512 sums[kHalves] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t quads = Quads(panels.BlockLength(block));
      const std::int8_t* values = x.codes + block * panels.block;
      __m512i upper[kHalves], dots[kHalves];
      layout.Dot(panels.Codes(panel, block), values, quads, upper);
      layout.Dot(panels.LowerCodes(panel, block), values, quads, dots);
      for (std::size_t half = 0; half < kHalves; ++half)
        dots[half] = _mm512_add_epi32(dots[half], _mm512_slli_epi32(upper[half], 4));
      AddBlock(dots, _mm512_set1_epi32(128 * x.sums[block]), panels.Scales(panel, block),
               _mm512_set1_ps(x.scales[block]), sums);
    }
    for (std::size_t half = 0; half < kHalves; ++half) _mm512_storeu_ps(y + 16 * half, sums[half]);
  }
}

/// The largest of 32 rows, passing over those that are no number.
float Most(const __m512 (&rows)[kHalves]) {
  const __m512 least = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  return _mm512_reduce_max_ps(_mm512_max_ps(rows[0], _mm512_max_ps(rows[1], least)));
}

void BoundPanels(const CodePanels& panels, const SpreadTile& tile, std::size_t first, std::size_t last,
                 float* bounds) {
  constexpr Int4 layout;
  const std::size_t blocks = panels.blocks();
  for (std::size_t panel = first; panel < last; ++panel) {
    __m512 sums[kHalves], variances[kHalves];
    for (std::size_t half = 0; half < kHalves; ++half) sums[half] = variances[half] = _mm512_setzero_ps();
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t quads = Quads(panels.BlockLength(block));
      const std::byte* scales = panels.Scales(panel, block);
      __m512i dots[kHalves];
      layout.Dot(panels.Codes(panel, block), tile.x.codes + block * panels.block, quads, dots);
      const __m512i middles = _mm512_set1_epi32(kTwiceMiddle * tile.x.sums[block]);
      const __m512 half_scale = _mm512_set1_ps(0.5f * tile.x.scales[block]),
                   spread = _mm512_set1_ps(tile.spreads[block]);
#pragma GCC unroll 2
      for (std::size_t half = 0; half < kHalves; ++half) {
        const __m512i twice = _mm512_sub_epi32(_mm512_slli_epi32(dots[half], 5), middles);
        const __m512 scale = Scales(scales, half);
        sums[half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(twice), _mm512_mul_ps(scale, half_scale), sums[half]);
        variances[half] = _mm512_fmadd_ps(_mm512_mul_ps(scale, scale), spread, variances[half]);
      }
    }
    for (std::size_t half = 0; half < kHalves; ++half)
      sums[half] = _mm512_fmadd_ps(_mm512_set1_ps(tile.unit), _mm512_sqrt_ps(variances[half]), sums[half]);
    *bounds++ = Most(sums);
  }
}

/// The codes of two quads from a chunk of upper and one of lower halves.
struct Joined {
  Quad even, odd;

  FORGE_INLINE static Joined At(const std::byte* upper, const std::byte* lower) {
    const Quad u = Quad::At(upper), l = Quad::At(lower);
    return {
        {Select(_mm512_slli_epi16(u.first, 4), l.first), Select(_mm512_slli_epi16(u.second, 4), l.second)},
        {Select(u.first, _mm512_srli_epi16(l.first, 4)), Select(u.second, _mm512_srli_epi16(l.second, 4))}};
  }
  /// The upper four bits of each byte of one, the lower four of the other: with bits (m, u, l) of mask, upper
  /// and lower the result is m ? u : l, whose truth table is 0xca.
  FORGE_INLINE static __m512i Select(__m512i upper, __m512i lower) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(-16), upper, lower, 0xca);
  }
};

void Join(const std::byte* upper, const std::byte* lower, std::size_t quads, std::uint8_t* out) {
  for (std::size_t q = 0; q < quads;
       q += 2, upper += kChunkBytes, lower += kChunkBytes, out += 2 * kChunkBytes) {
    Prefetch(upper);
    Prefetch(lower);
    const Joined codes = Joined::At(upper, lower);
    _mm512_storeu_si512(out, codes.even.first);
    _mm512_storeu_si512(out + 64, codes.even.second);
    _mm512_storeu_si512(out + kChunkBytes, codes.odd.first);
    _mm512_storeu_si512(out + kChunkBytes + 64, codes.odd.second);
  }
}

struct PackedHalves {
  template <class Visitor>
  FORGE_INLINE void Visit(const std::byte* upper, const std::byte* lower, std::size_t quads,
                          const Visitor& quad) const {
    for (std::size_t q = 0; q < quads; q += 2, upper += kChunkBytes, lower += kChunkBytes) {
      Prefetch(upper);
      Prefetch(lower);
      const Joined codes = Joined::At(upper, lower);
      quad(codes.even);
      quad(codes.odd);
    }
  }
};

/// The upper halves alone, in the upper four bits of a byte: 16-fold.
struct PackedUpper {
  template <class Visitor>
  FORGE_INLINE void Visit(const std::byte* upper, const std::byte*, std::size_t quads,
                          const Visitor& quad) const {
    const __m512i mask = _mm512_set1_epi8(-16);
    for (std::size_t q = 0; q < quads; q += 2, upper += kChunkBytes) {
      Prefetch(upper);
      const Quad both = Quad::At(upper);
      quad(Quad{_mm512_and_si512(_mm512_slli_epi16(both.first, 4), mask),
                _mm512_and_si512(_mm512_slli_epi16(both.second, 4), mask)});
      quad(both.Bits<0>(mask));
    }
  }
};

void BoundRows(const std::byte* scales, std::size_t tokens, const float* spreads, const float* y,
               float* bounds) {
  const __m512 first = Scales(scales, 0), second = Scales(scales, 1);
  for (std::size_t token = 0; token < tokens; ++token, y += kCodeRows) {
    const __m512 spread = _mm512_set1_ps(spreads[token]);
    bounds[token] = Most({_mm512_fmadd_ps(spread, first, _mm512_loadu_ps(y)),
                          _mm512_fmadd_ps(spread, second, _mm512_loadu_ps(y + 16))});
  }
}

}  // namespace

const HalfKernels& Avx512HalfKernels() {
  static constexpr HalfKernels table{.multiply_row = MultiplyRow,
                                     .packed_tile = Tile<PackedHalves>,
                                     .join = Join,
                                     .bound_panels = BoundPanels,
                                     .upper_tile = Tile<PackedUpper>,
                                     .unpacked_upper_tile = nullptr,
                                     .bound_tokens = nullptr,
                                     .bound_rows = BoundRows};
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
