// SPDX-License-Identifier: Apache-2.0
// AVX-512 (F, BW, VL): the products. The other loops of the table are those of AVX2: they are short, and
// their sums keep eight lanes in every target. The target is set as in avx2.cc.
#include "runtime/kernels/kernel_table.h"

#if defined(__x86_64__)
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

}  // namespace

const KernelTable& Avx512Kernels() {
  static const KernelTable table = [] {
    KernelTable widened = Avx2Kernels();
    widened.tile_rows = kRowsOfTile;
    widened.tile_panels = kPanelsOfTile;
    widened.gemm_tile = GemmTile;
    return widened;
  }();
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
