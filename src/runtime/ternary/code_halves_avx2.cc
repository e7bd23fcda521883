// SPDX-License-Identifier: Apache-2.0
// AVX2 kernels of 8-bit codes in halves: each half is a product with 4-bit codes (code_avx2.inc), and the
// upper one counts 16-fold.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>
#include <limits>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx2.inc"

void MultiplyRow(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last, float* y) {
  const std::size_t blocks = panels.blocks(), quads = Quads(panels.block);
  for (std::size_t panel = first; panel < last; ++panel, y += kCodeRows) {
    __m256 sums[kQuarters] = {};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::int8_t* values = x.codes + block * panels.block;
      __m256i upper[kQuarters], dots[kQuarters];
      Int4::Dot(panels.Codes(panel, block), values, quads, upper);
      Int4::Dot(panels.LowerCodes(panel, block), values, quads, dots);
      for (int quarter = 0; quarter < kQuarters; ++quarter)
        dots[quarter] = _mm256_add_epi32(dots[quarter], _mm256_slli_epi32(upper[quarter], 4));
      AddBlock(dots, _mm256_set1_epi32(128 * x.sums[block]), panels.Scales(panel, block),
               _mm256_set1_ps(x.scales[block]), sums);
    }
    for (int quarter = 0; quarter < kQuarters; ++quarter) _mm256_storeu_ps(y + 8 * quarter, sums[quarter]);
  }
}

void BoundPanels(const CodePanels& panels, const SpreadTile& tile, std::size_t first, std::size_t last,
                 float* bounds) {
  const std::size_t blocks = panels.blocks(), quads = Quads(panels.block);
  for (std::size_t panel = first; panel < last; ++panel) {
    __m256 sums[kQuarters] = {}, variances[kQuarters] = {};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::byte* scales = panels.Scales(panel, block);
      __m256i dots[kQuarters];
      Int4::Dot(panels.Codes(panel, block), tile.x.codes + block * panels.block, quads, dots);
      const __m256i middles = _mm256_set1_epi32(kTwiceMiddle * tile.x.sums[block]);
      const __m256 half_scale = _mm256_set1_ps(0.5f * tile.x.scales[block]),
                   spread = _mm256_set1_ps(tile.spreads[block]);
#pragma GCC unroll 4
      for (int quarter = 0; quarter < kQuarters; ++quarter) {
        const __m256i twice = _mm256_sub_epi32(_mm256_slli_epi32(dots[quarter], 5), middles);
        const __m256 scale = Scales(scales, quarter);
        sums[quarter] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(twice), _mm256_mul_ps(scale, half_scale), sums[quarter]);
        variances[quarter] = _mm256_fmadd_ps(_mm256_mul_ps(scale, scale), spread, variances[quarter]);
      }
    }
    alignas(32) float lanes[kCodeRows];
    for (int quarter = 0; quarter < kQuarters; ++quarter)
      _mm256_store_ps(
          lanes + 8 * quarter,
          _mm256_fmadd_ps(_mm256_set1_ps(tile.unit), _mm256_sqrt_ps(variances[quarter]), sums[quarter]));
    float most = -std::numeric_limits<float>::infinity();
    for (const float lane : lanes) most = std::max(most, lane);
    *bounds++ = most;
  }
}

void Join(const std::byte* upper, const std::byte* lower, std::size_t quads, std::uint8_t* out) {
  const __m256i low_bits = _mm256_set1_epi8(15), high_bits = _mm256_set1_epi8(-16);
  for (std::size_t q = 0; q < quads;
       q += 2, upper += kChunkBytes, lower += kChunkBytes, out += 2 * kChunkBytes) {
    Prefetch(upper);
    Prefetch(lower);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const __m256i u = Load(upper + 32 * quarter), l = Load(lower + 32 * quarter);
      Store(out + 32 * quarter, _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(u, 4), high_bits),
                                                _mm256_and_si256(l, low_bits)));
      Store(out + kChunkBytes + 32 * quarter,
            _mm256_or_si256(_mm256_and_si256(u, high_bits),
                            _mm256_and_si256(_mm256_srli_epi16(l, 4), low_bits)));
    }
  }
}

}  // namespace

const HalfKernels& Avx2HalfKernels() {
  static constexpr HalfKernels table{
      .multiply_row = MultiplyRow, .packed_tile = nullptr, .join = Join, .bound_panels = BoundPanels};
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
