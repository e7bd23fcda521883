// SPDX-License-Identifier: Apache-2.0
// AVX-512 (F, BW, VL): the products and silu. The other loops of the table are those of AVX2: they are
// short, and their sums keep eight lanes in every target. The target is set as in avx2.cc.
#include "runtime/kernels/exponential.h"
#include "runtime/kernels/kernel_table.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <array>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")

namespace forge::runtime {
namespace {

// Twelve rows by two panels of 16 columns: 24 sums hide the latency of four cycles on two ports, and a
// broadcast value serves two multiply-adds, so that the loads (14 for each k) keep clear of the limit of two
// a cycle.
constexpr int kRowsOfTile = 12, kPanelsOfTile = 2;

// All loops over the sums are unrolled: one left over would keep the array in memory, with a store for every
// k.
template <int kRows, int kPanels>
void GemmRows(const PanelProduct& tile) {
  const float* x = tile.x;
  const std::size_t x_stride = tile.x_stride, depth = tile.depth;
  __mmask16 masks[kPanels];
  const float* panels[kPanels];
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const int left = static_cast<int>(tile.columns) - p * kPanelWidth;
    masks[p] = static_cast<__mmask16>(left >= kPanelWidth ? 0xffff : (1u << left) - 1);
    panels[p] = tile.panels + static_cast<std::size_t>(p) * tile.panel_stride;
  }
  __m512 sums[kRows][kPanels];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p)
      sums[r][p] = tile.accumulate
                       ? _mm512_maskz_loadu_ps(masks[p], tile.out + r * tile.out_stride + p * kPanelWidth)
                       : _mm512_setzero_ps();
  for (std::size_t k = 0; k < depth; ++k) {
    __m512 weights[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) weights[p] = _mm512_loadu_ps(panels[p] + k * kPanelWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512 value = _mm512_set1_ps(x[static_cast<std::size_t>(r) * x_stride + k]);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) sums[r][p] = _mm512_fmadd_ps(value, weights[p], sums[r][p]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p)
      _mm512_mask_storeu_ps(tile.out + r * tile.out_stride + p * kPanelWidth, masks[p], sums[r][p]);
}

using GemmRowsFunction = void (*)(const PanelProduct&);

template <int kPanels, int... kRows>
constexpr std::array<GemmRowsFunction, sizeof...(kRows)> ByRows(std::integer_sequence<int, kRows...>) {
  return {GemmRows<kRows + 1, kPanels>...};
}

void GemmTile(const PanelProduct& tile) {
  static constexpr auto kOnePanel = ByRows<1>(std::make_integer_sequence<int, kRowsOfTile>());
  static constexpr auto kTwoPanels = ByRows<2>(std::make_integer_sequence<int, kRowsOfTile>());
  (tile.columns <= kPanelWidth ? kOnePanel : kTwoPanels)[tile.rows - 1](tile);
}

__m512 Exp16(__m512 x) {
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(kExpLowest)), _mm512_set1_ps(kExpHighest));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(kLog2OfE)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kLn2High), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kLn2Low), r);
  __m512 power = _mm512_set1_ps(kExpCoefficients[0]);
#pragma GCC unroll 8
  for (int i = 1; i < 8; ++i) power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(kExpCoefficients[i]));
  const __m512i exponent =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
  return _mm512_mul_ps(power, _mm512_castsi512_ps(exponent));
}

void SiluMultiply(float* gate, const float* up, std::size_t size) {
  for (std::size_t i = 0; i < size; i += 16) {
    const auto mask = static_cast<__mmask16>(size - i >= 16 ? 0xffff : (1u << (size - i)) - 1);
    const __m512 x = _mm512_maskz_loadu_ps(mask, gate + i);
    const __m512 negated = _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
    const __m512 silu = _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), Exp16(negated)));
    _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)));
  }
}

struct Vector {
  __m512 lanes;

  static Vector Zero() { return {_mm512_setzero_ps()}; }
  static Vector Broadcast(float value) { return {_mm512_set1_ps(value)}; }
  static Vector Load(const float* x) { return {_mm512_loadu_ps(x)}; }
  static Vector Fma(Vector a, Vector b, Vector c) { return {_mm512_fmadd_ps(a.lanes, b.lanes, c.lanes)}; }
  static Vector Mul(Vector a, Vector b) { return {_mm512_mul_ps(a.lanes, b.lanes)}; }
  static Vector Add(Vector a, Vector b) { return {_mm512_add_ps(a.lanes, b.lanes)}; }
  static void Store(float* out, Vector a) { _mm512_storeu_ps(out, a.lanes); }

  static __m256i Load32(const std::byte* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }
  static Vector Half(const std::byte* codes) { return {_mm512_cvtph_ps(Load32(codes))}; }
  static Vector BFloat16(const std::byte* codes) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(Load32(codes)), 16))};
  }
  static Vector Signed(__m128i bytes) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))}; }
  static Vector Int8(const std::byte* codes) {
    return Signed(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  }
  static Vector Int4(const std::byte* codes, int zero) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
    const __m128i nibbles =
        _mm_and_si128(_mm_unpacklo_epi64(bytes, _mm_srli_epi16(bytes, 4)), _mm_set1_epi8(15));
    return Signed(_mm_sub_epi8(nibbles, _mm_set1_epi8(static_cast<char>(zero))));
  }
  static Vector Ternary(const std::byte* codes) {
    int word;
    __builtin_memcpy(&word, codes, 4);
    // 32-bit lane j shifted by 2j: its byte b is then column 4j + b.
    const __m128i shifted = _mm_srlv_epi32(_mm_set1_epi32(word), _mm_setr_epi32(0, 2, 4, 6));
    return Signed(_mm_sub_epi8(_mm_and_si128(shifted, _mm_set1_epi8(3)), _mm_set1_epi8(1)));
  }
};

#include "runtime/kernels/panel_rows.inc"

constexpr int kMostSums = 24;
#include "runtime/kernels/narrow_rows.inc"

}  // namespace

const KernelTable& Avx512Kernels() {
  static const KernelTable table = [] {
    KernelTable widened = Avx2Kernels();
    widened.tile_rows = kRowsOfTile;
    widened.tile_panels = kPanelsOfTile;
    widened.gemm_tile = GemmTile;
    widened.narrow_tile = NarrowTile;
    widened.widen_pair = WidenPair;
    widened.unpack = Unpack;
    widened.multiply_row = MultiplyRow;
    widened.silu_multiply = SiluMultiply;
    return widened;
  }();
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
