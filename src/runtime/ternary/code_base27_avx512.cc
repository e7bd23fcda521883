// SPDX-License-Identifier: Apache-2.0
// One token times kBase27 with AVX-512: the tables of all inputs (64 bytes for three) are built once and come
// from the second cache for every four panels. Codes are fetched into that cache too: the first one waits for
// some 24 lines at most, which is less than the memory brings. The target is set as in kernels/avx512.cc.
#include "runtime/ternary/code_kernels.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_tables_avx512.inc"

constexpr std::size_t kMostPanels = 4;  // that use a table while it is in a register
constexpr std::size_t kAhead = 4096;    // bytes that codes are fetched ahead of their use
constexpr std::size_t kMostPlaces = Base27Words(kMostBlock / 4) * kBase27Places;  // of a block

/// The inputs of a group's places, or of what is left of a block, where the others are zeros: four bytes
/// each.
struct Inputs {
  alignas(16) std::uint32_t places[4] = {};

  /// Three quads and four bytes that are not looked at: place b has the inputs b.
  explicit Inputs(const std::int8_t* quads) {
    const __m128i order = _mm_setr_epi8(0, 4, 8, -1, 1, 5, 9, -1, 2, 6, 10, -1, 3, 7, 11, -1);
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(quads));
    _mm_store_si128(reinterpret_cast<__m128i*>(places), _mm_shuffle_epi8(x, order));
  }
  /// Three quads and nothing behind them, two, or one.
  Inputs(const std::int8_t* quads, std::size_t count) {
    std::int8_t bytes[4][4] = {};
    for (std::size_t k = 0; k < 4 * count; ++k) {
      const auto [place, digit] = FindBase27Digit(count, k / 4, k % 4);
      bytes[place][digit] = quads[k];
    }
    std::memcpy(places, bytes, sizeof places);
  }
};

/// Tables of a block, in the order of places. What the last word lacks keeps a table of before, or zeros: its
/// places are 0, and the first sum of each table is 0. x [quads up to a multiple of 16][4].
void BuildTables(const std::int8_t* x, std::size_t quads, std::int16_t* tables) {
  const TableBuilder builder;
  const auto build = [&](const Inputs& inputs, std::size_t count) {
    for (std::size_t place = 0; place < count; ++place, tables += kWords)
      builder.Build(inputs.places + place, tables);
  };
  for (; quads > 3; quads -= 3, x += 12) build(Inputs(x), 4);
  build(Inputs(x, quads), quads == 3 ? 4 : 2 * quads);
}

/// The tables of a block.
struct Tables {
  alignas(64) std::int16_t sums[kMostPlaces * kWords];
};

/// Sums of the panels from `panel` on.
template <std::size_t kPanels>
void MultiplyPanels(const CodePanels& panels, const Int8Tile& x, std::size_t panel, const Tables* tables,
                    float* y) {
  __m512 totals[kPanels][2];
#pragma GCC unroll 4
  for (std::size_t p = 0; p < kPanels; ++p) totals[p][0] = totals[p][1] = _mm512_setzero_ps();
  const __m512i low_half = _mm512_set1_epi32(1);
  const std::size_t blocks = panels.blocks();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t words = Base27Words(Quads(panels.BlockLength(block)));
    const std::byte* codes = panels.Codes(panel, block);
    const std::int16_t* table = tables[block].sums;
    // Behind a panel its neighbour begins, which is read beside it: what comes next is that of the next
    // group.
    const std::size_t offset = static_cast<std::size_t>(codes - panels.Scales(panel, 0)) + kAhead,
                      ahead = kAhead + (offset < panels.panel_bytes ? 0 : (kPanels - 1) * panels.panel_bytes);
    __m512i sums[kPanels][kBase27Places];
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPanels; ++p) {
      sums[p][0] = _mm512_set1_epi16(static_cast<short>(-x.sums[block]));
      sums[p][1] = sums[p][2] = _mm512_setzero_si512();
    }
    for (std::size_t word = 0; word < words; ++word, codes += 64, table += kBase27Places * kWords) {
      const __m512i first = _mm512_load_si512(table), second = _mm512_load_si512(table + kWords),
                    third = _mm512_load_si512(table + 2 * kWords);
#pragma GCC unroll 4
      for (std::size_t p = 0; p < kPanels; ++p) {
        const std::byte* at = codes + p * panels.panel_bytes;
        _mm_prefetch(reinterpret_cast<const char*>(at) + ahead, _MM_HINT_T1);
        const __m512i places = Load(at);
        Add(sums[p][0], _mm512_permutexvar_epi16(places, first));
        Add(sums[p][1], _mm512_permutexvar_epi16(_mm512_srli_epi16(places, 5), second));
        Add(sums[p][2], _mm512_permutexvar_epi16(_mm512_srli_epi16(places, 10), third));
      }
    }
    const __m512 x_scale = _mm512_set1_ps(x.scales[block]);
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPanels; ++p) {
      const std::byte* scales = panels.Scales(panel + p, block);
      const __m512i dots = _mm512_add_epi16(_mm512_add_epi16(sums[p][0], sums[p][1]), sums[p][2]);
      const auto scale = [&](int half) {
        return _mm512_mul_ps(
            _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales + 32 * half))),
            x_scale);
      };
      totals[p][0] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_madd_epi16(dots, low_half)), scale(0), totals[p][0]);
      totals[p][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32(dots, 16)), scale(1), totals[p][1]);
    }
  }
#pragma GCC unroll 4
  for (std::size_t p = 0; p < kPanels; ++p) {
    _mm512_storeu_ps(y + p * kCodeRows, totals[p][0]);
    _mm512_storeu_ps(y + p * kCodeRows + 16, totals[p][1]);
  }
}

}  // namespace

void MultiplyBase27Row(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last,
                       float* y) {
  thread_local std::vector<Tables> tables;
  const std::size_t blocks = panels.blocks();
  tables.resize(blocks);
  for (std::size_t index = 0; index < blocks; ++index)
    BuildTables(x.codes + index * panels.block, Quads(panels.BlockLength(index)), tables[index].sums);
  std::size_t panel = first;
  for (; panel + kMostPanels <= last; panel += kMostPanels, y += kMostPanels * kCodeRows)
    MultiplyPanels<kMostPanels>(panels, x, panel, tables.data(), y);
  for (; panel < last; ++panel, y += kCodeRows) MultiplyPanels<1>(panels, x, panel, tables.data(), y);
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
