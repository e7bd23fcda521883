// SPDX-License-Identifier: Apache-2.0
// AVX2 kernels of 8-bit codes in halves: each half is a product with 4-bit codes (code_avx2.inc), and the
// upper one counts 16-fold.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_avx2.inc"

void MultiplyRow(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last, float* y) {
  const std::size_t blocks = panels.blocks();
  for (std::size_t panel = first; panel < last; ++panel, y += kCodeRows) {
    __m256 sums[kQuarters] = {};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t quads = Quads(panels.BlockLength(block));
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

/// Fetches a half of kQuadsOfPairs quads.
FORGE_INLINE void PrefetchPairs(const std::byte* codes) {
  for (std::size_t at = 0; at < kQuadsOfPairs / 2 * kChunkBytes; at += kChunkBytes) Prefetch(codes + at);
}

/// The largest of 32 rows, passing over those that are no number.
float Most(const __m256 (&rows)[kQuarters]) {
  __m256 most = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
  for (const __m256 row : rows) most = _mm256_max_ps(row, most);
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

void BoundPanels(const CodePanels& panels, const SpreadTile& tile, std::size_t first, std::size_t last,
                 float* bounds) {
  const std::size_t blocks = panels.blocks();
  for (std::size_t panel = first; panel < last; ++panel) {
    __m256 sums[kQuarters] = {}, variances[kQuarters] = {};
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t quads = Quads(panels.BlockLength(block));
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
    for (int quarter = 0; quarter < kQuarters; ++quarter)
      sums[quarter] =
          _mm256_fmadd_ps(_mm256_set1_ps(tile.unit), _mm256_sqrt_ps(variances[quarter]), sums[quarter]);
    *bounds++ = Most(sums);
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

constexpr int kTokensOfTile = 4;
constexpr std::size_t kBytesOfPairs = kQuadsOfPairs / 2 * kChunkBytes;  // of each half

/// dots += the products of `quads` quads, at most kQuadsOfPairs, with eight rows: sums of both halves for
/// four tokens, and a chunk of each, fit 16 registers.
template <int kTokens>
FORGE_INLINE void AddBothHalves(const std::byte* upper, const std::byte* lower, const std::int8_t* x,
                                std::size_t x_step, std::size_t quads, __m256i (&dots)[kTokens]) {
  const __m256i mask = _mm256_set1_epi8(15);
  __m256i sums[kTokens][2];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
  for (std::size_t q = 0; q < quads; q += 2, upper += kChunkBytes, lower += kChunkBytes, x += 2 * x_step) {
    const __m256i u = Load(upper), l = Load(lower);
    const __m256i u0 = _mm256_and_si256(u, mask), u1 = _mm256_and_si256(_mm256_srli_epi16(u, 4), mask);
    const __m256i l0 = _mm256_and_si256(l, mask), l1 = _mm256_and_si256(_mm256_srli_epi16(l, 4), mask);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const __m256i even = Broadcast(x + 4 * t), odd = Broadcast(x + x_step + 4 * t);
      sums[t][0] = AddPairs(AddPairs(sums[t][0], u0, even), u1, odd);
      sums[t][1] = AddPairs(AddPairs(sums[t][1], l0, even), l1, odd);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t)
    dots[t] = _mm256_add_epi32(dots[t], _mm256_add_epi32(_mm256_madd_epi16(sums[t][0], _mm256_set1_epi16(16)),
                                                         PairsToQuads(sums[t][1])));
}

/// y += dots * scale.
FORGE_INLINE void AddScaled(float* y, __m256i dots, __m256 scale) {
  _mm256_storeu_ps(y, _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), scale, _mm256_loadu_ps(y)));
}

template <int kTokens>
void TileTokens(const CodeTile& tile) {
  const std::size_t x_step = 4 * tile.x_width;
  for (std::size_t block = 0; block < tile.blocks; ++block)
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      const std::byte* upper = tile.codes + block * tile.code_stride + 32 * quarter;
      const std::byte* lower = tile.lower + block * tile.lower_stride + 32 * quarter;
      const std::int8_t* x = tile.x + block * tile.quads * x_step;
      __m256i dots[kTokens];
      for (int t = 0; t < kTokens; ++t)
        dots[t] = _mm256_set1_epi32(-128 * tile.x_sums[block * tile.x_width + static_cast<std::size_t>(t)]);
      for (std::size_t q = 0; q < tile.quads; q += kQuadsOfPairs) {
        if (quarter == 0) PrefetchPairs(upper);
        if (quarter == 0) PrefetchPairs(lower);
        AddBothHalves<kTokens>(upper, lower, x, x_step, std::min(tile.quads - q, kQuadsOfPairs), dots);
        upper += kBytesOfPairs;
        lower += kBytesOfPairs;
        x += kQuadsOfPairs * x_step;
      }
      const __m256 weight_scale = Scales(tile.weight_scales[block], quarter);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const std::size_t at = block * tile.x_width + static_cast<std::size_t>(t);
        AddScaled(tile.y + static_cast<std::size_t>(t) * kCodeRows + 8 * quarter, dots[t],
                  _mm256_mul_ps(weight_scale, _mm256_set1_ps(tile.x_scales[at])));
      }
    }
}

void PackedTile(const CodeTile& tile) {
  static constexpr void (*kByTokens[kTokensOfTile])(const CodeTile&) = {TileTokens<1>, TileTokens<2>,
                                                                        TileTokens<3>, TileTokens<4>};
  kByTokens[tile.tokens - 1](tile);
}

/// dots += 16 times the sums of pairs, of sixteen rows.
template <int kTokens>
FORGE_INLINE void AddSixteenfold(const __m256i (&sums)[kTokens][2], __m256i (&dots)[kTokens][2]) {
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half)
      dots[t][half] =
          _mm256_add_epi32(dots[t][half], _mm256_madd_epi16(sums[t][half], _mm256_set1_epi16(16)));
}

/// The same of the upper halves alone, with sixteen rows; dots come 16-fold.
template <int kTokens>
FORGE_INLINE void AddUpper(const std::byte* upper, const std::int8_t* x, std::size_t x_step,
                           std::size_t quads, __m256i (&dots)[kTokens][2]) {
  const __m256i mask = _mm256_set1_epi8(15);
  __m256i sums[kTokens][2];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
  for (std::size_t q = 0; q < quads; q += 2, upper += kChunkBytes, x += 2 * x_step) {
    const __m256i first = Load(upper), second = Load(upper + 32);
    const __m256i first0 = _mm256_and_si256(first, mask), second0 = _mm256_and_si256(second, mask);
    const __m256i first1 = _mm256_and_si256(_mm256_srli_epi16(first, 4), mask),
                  second1 = _mm256_and_si256(_mm256_srli_epi16(second, 4), mask);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const __m256i even = Broadcast(x + 4 * t);
      sums[t][0] = AddPairs(sums[t][0], first0, even);
      sums[t][1] = AddPairs(sums[t][1], second0, even);
      const __m256i odd = Broadcast(x + x_step + 4 * t);
      sums[t][0] = AddPairs(sums[t][0], first1, odd);
      sums[t][1] = AddPairs(sums[t][1], second1, odd);
    }
  }
  AddSixteenfold<kTokens>(sums, dots);
}

/// The same of codes that are a byte each.
template <int kTokens>
FORGE_INLINE void AddUnpackedUpper(const std::byte* codes, const std::int8_t* x, std::size_t x_step,
                                   std::size_t quads, __m256i (&dots)[kTokens][2]) {
  __m256i sums[kTokens][2];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
  for (std::size_t q = 0; q < quads; ++q, codes += kChunkBytes, x += x_step) {
    const __m256i first = Load(codes), second = Load(codes + 32);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const __m256i value = Broadcast(x + 4 * t);
      sums[t][0] = AddPairs(sums[t][0], first, value);
      sums[t][1] = AddPairs(sums[t][1], second, value);
    }
  }
  AddSixteenfold<kTokens>(sums, dots);
}

/// Fetches so many lines of codes, and is where the next begin.
FORGE_INLINE const std::byte* FetchLines(const std::byte* ahead, std::size_t lines) {
  for (std::size_t line = 0; line < lines; ++line, ahead += 64)
    _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T0);
  return ahead;
}

template <bool kUnpacked, int kTokens>
void UpperTokens(const CodeTile& tile) {
  [[maybe_unused]] const std::byte* ahead = tile.ahead;
  const std::size_t x_step = 4 * tile.x_width;
  for (std::size_t block = 0; block < tile.blocks; ++block)
    for (int pair = 0; pair < kQuarters; pair += 2) {
      const std::byte* upper = tile.codes + block * tile.code_stride + 32 * pair;
      const std::int8_t* x = tile.x + block * tile.quads * x_step;
      __m256i dots[kTokens][2];
      for (int t = 0; t < kTokens; ++t)
        dots[t][0] = dots[t][1] =
            _mm256_set1_epi32(-tile.x_sums[block * tile.x_width + static_cast<std::size_t>(t)]);
      for (std::size_t q = 0; q < tile.quads; q += kQuadsOfPairs) {
        const std::size_t quads = std::min(tile.quads - q, kQuadsOfPairs);
        if constexpr (kUnpacked) {
          ahead = FetchLines(ahead, tile.lines_of_step);
          AddUnpackedUpper<kTokens>(upper, x, x_step, quads, dots);
          upper += kQuadsOfPairs * kChunkBytes;
        } else {
          if (pair == 0) PrefetchPairs(upper);
          AddUpper<kTokens>(upper, x, x_step, quads, dots);
          upper += kBytesOfPairs;
        }
        x += kQuadsOfPairs * x_step;
      }
      const __m256 scales[2] = {Scales(tile.weight_scales[block], pair),
                                Scales(tile.weight_scales[block], pair + 1)};
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m256 x_scale =
            _mm256_broadcast_ss(tile.x_scales + block * tile.x_width + static_cast<std::size_t>(t));
        float* y = tile.y + static_cast<std::size_t>(t) * kCodeRows + 8 * pair;
        AddScaled(y, dots[t][0], _mm256_mul_ps(scales[0], x_scale));
        AddScaled(y + 8, dots[t][1], _mm256_mul_ps(scales[1], x_scale));
      }
    }
}

template <bool kUnpacked>
void UpperTile(const CodeTile& tile) {
  static constexpr void (*kByTokens[kTokensOfTile])(const CodeTile&) = {
      UpperTokens<kUnpacked, 1>, UpperTokens<kUnpacked, 2>, UpperTokens<kUnpacked, 3>,
      UpperTokens<kUnpacked, 4>};
  kByTokens[tile.tokens - 1](tile);
}

void BoundTokens(const CodePanels& panels, std::size_t panel, const TokenSpreads& spreads, const float* y,
                 float* bounds) {
  constexpr std::size_t kTogether = 4;  // tokens that share a vector of squares
  const std::size_t blocks = panels.blocks();
  thread_local std::vector<float> squares;  // [4 quarters][blocks][8]
  squares.resize(blocks * kCodeRows);
  for (int quarter = 0; quarter < kQuarters; ++quarter)
    for (std::size_t block = 0; block < blocks; ++block) {
      const __m256 scale = Scales(panels.Scales(panel, block), quarter);
      _mm256_storeu_ps(squares.data() + (static_cast<std::size_t>(quarter) * blocks + block) * 8,
                       _mm256_mul_ps(scale, scale));
    }
  for (std::size_t first = 0; first < spreads.tokens; first += kTogether) {
    __m256 rows[kTogether][kQuarters];
    const std::size_t held = std::min(kTogether, spreads.tokens - first);
    for (int quarter = 0; quarter < kQuarters; ++quarter) {
      __m256 variances[kTogether] = {};
      const float *spread = spreads.spreads + first,
                  *square = squares.data() + static_cast<std::size_t>(quarter) * blocks * 8;
      for (std::size_t block = 0; block < blocks; ++block, spread += spreads.stride, square += 8)
#pragma GCC unroll 4
        for (std::size_t t = 0; t < kTogether; ++t)
          variances[t] =
              _mm256_fmadd_ps(_mm256_loadu_ps(square), _mm256_broadcast_ss(spread + t), variances[t]);
      for (std::size_t t = 0; t < held; ++t)
        rows[t][quarter] =
            _mm256_fmadd_ps(_mm256_set1_ps(spreads.units[first + t]), _mm256_sqrt_ps(variances[t]),
                            _mm256_loadu_ps(y + (first + t) * kCodeRows + 8 * quarter));
    }
    for (std::size_t t = 0; t < held; ++t) bounds[first + t] = Most(rows[t]);
  }
}

void BoundRows(const std::byte* scales, std::size_t tokens, const float* spreads, const float* y,
               float* bounds) {
  for (std::size_t token = 0; token < tokens; ++token, y += kCodeRows) {
    const __m256 spread = _mm256_set1_ps(spreads[token]);
    __m256 rows[kQuarters];
#pragma GCC unroll 4
    for (int quarter = 0; quarter < kQuarters; ++quarter)
      rows[quarter] = _mm256_fmadd_ps(spread, Scales(scales, quarter), _mm256_loadu_ps(y + 8 * quarter));
    bounds[token] = Most(rows);
  }
}

}  // namespace

const HalfKernels& Avx2HalfKernels() {
  static constexpr HalfKernels table{.multiply_row = MultiplyRow,
                                     .packed_tile = PackedTile,
                                     .join = Join,
                                     .bound_panels = BoundPanels,
                                     .upper_tile = UpperTile<false>,
                                     .unpacked_upper_tile = UpperTile<true>,
                                     .bound_tokens = BoundTokens,
                                     .bound_rows = BoundRows};
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
