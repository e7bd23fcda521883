// SPDX-License-Identifier: Apache-2.0
// kBase27 through tables with AVX2, as its codes lie. Three inputs have 27 different sums with ternary codes.
// A lane is a token, so that a row needs one load and one addition for 48 products, where vpmaddubsw and an
// addition make 32. Tables of 81 sums (code_tables_avx2.cc) need fewer loads, which take longer: they fill
// most of the first cache, and places have to be found. The target is set as in kernels/avx2.cc.
#include "runtime/ternary/code_kernels.h"
#include "runtime/ternary/code_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi2")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_tables_avx2.inc"

constexpr std::size_t kSums = 27;  // of a table
constexpr std::size_t kTableBytes = kSums * kSumBytes;
constexpr std::size_t kTogether = 3;  // words whose tables are in use at once: 8 kB of the first cache
constexpr std::size_t kFetchedPanels = 4;

/// A block's activations x [quads][16 tokens][4].
struct Inputs {
  const std::int8_t* x;
  std::size_t quads;

  /// Input `byte` of a quad of 16 tokens, in 16 bits; zeros where there is no such quad.
  __m256i Of(std::size_t quad, std::size_t byte) const {
    if (quad >= quads) return _mm256_setzero_si256();
    const std::int8_t* bytes = x + quad * 4 * kTableTokens;
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(24 - 8 * byte));
    const auto widened = [&](__m256i four) { return _mm256_srai_epi32(_mm256_sll_epi32(four, shift), 24); };
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(widened(Load(bytes)), widened(Load(bytes + 32))),
                                    0xd8);
  }
};

/// The 27 sums (i - 1) a + (j - 1) b + (k - 1) c at i + 3 j + 9 k.
void BuildTable(__m256i a, __m256i b, __m256i c, std::byte* table) {
  const __m256i zero = _mm256_setzero_si256(), minus_a = _mm256_sub_epi16(zero, a);
  const __m256i of_a[3] = {minus_a, zero, a};
  __m256i nine[9];
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    nine[i] = _mm256_sub_epi16(of_a[i], b);
    nine[3 + i] = of_a[i];
    nine[6 + i] = _mm256_add_epi16(of_a[i], b);
  }
#pragma GCC unroll 9
  for (std::size_t i = 0; i < 9; ++i) {
    Store(table + i * kSumBytes, _mm256_sub_epi16(nine[i], c));
    Store(table + (9 + i) * kSumBytes, nine[i]);
    Store(table + (18 + i) * kSumBytes, _mm256_add_epi16(nine[i], c));
  }
}

/// The table of a place (FindBase27Digit); of places that a block's last word lacks, which are 0: of zeros.
void BuildTableOf(const Inputs& inputs, std::size_t place, std::byte* table) {
  const std::size_t quad = place / 4 * 3, byte = place % 4, none = inputs.quads;
  if (quad + 1 != inputs.quads)
    return BuildTable(inputs.Of(quad, byte), inputs.Of(quad + 1, byte), inputs.Of(quad + 2, byte), table);
  const std::size_t pair = byte < 2 ? quad : none;
  BuildTable(inputs.Of(pair, 2 * byte % 4), inputs.Of(pair, (2 * byte + 1) % 4), inputs.Of(none, 0), table);
}

/// Some words of a block and their tables; dots [rows][16] are the sums on the way.
struct Pass {
  const TableBlock& block;
  std::size_t word;
  const std::byte* tables;
  std::int16_t* dots;
};

template <std::size_t kWords>
FORGE_INLINE void FetchWords(const std::byte* codes) {
  for (std::size_t w = 0; w < kWords; ++w)
    _mm_prefetch(reinterpret_cast<const char*>(codes + w * kBase27WordBytes), _MM_HINT_T1);
}

/// Fetches, while a panel is added, the same words of the next block; and, as nobody has asked for those of
/// the first, its next ones. (Inline: GCC 12 drops calls of functions that only fetch.)
template <std::size_t kWords>
FORGE_INLINE void Fetch(const Pass& pass, std::size_t panel) {
  const TableBlock& block = pass.block;
  if (block.next_codes == nullptr) return;
  const std::size_t at = panel * block.panel_stride + pass.word * kBase27WordBytes;
  FetchWords<kWords>(block.next_codes + panel * block.next_stride + pass.word * kBase27WordBytes);
  if (!block.is_first) return;
  FetchWords<kWords>(block.places + at + kWords * kBase27WordBytes);
  if (pass.word == 0 && panel + kFetchedPanels < block.panels)
    FetchWords<kWords>(block.places + at + kFetchedPanels * block.panel_stride);
}

/// Adds the sums of a word's places of the row that it has from kShift bits on.
template <std::size_t kShift>
FORGE_INLINE __m256i AddWord(__m256i sum, std::uint32_t word, const std::byte* tables) {
  sum = AddSum<kShift, 31>(sum, word, tables);
  sum = AddSum<kShift + 5, 31>(sum, word, tables + kTableBytes);
  return AddSum<kShift + 10, 31>(sum, word, tables + 2 * kTableBytes);
}

/// What the rows add of kWords words, the first and the last of the block or not.
template <std::size_t kWords, bool kFirst, bool kLast>
void AddRows(const Pass& pass) {
  constexpr std::size_t kLanes = kCodeRows / 2;  // words of 32 bits, which have rows r and 16 + r
  const TableBlock& block = pass.block;
  const ScaledSum scaled(block.x_scales, block.is_first);
  for (std::size_t panel = 0; panel < block.panels; ++panel) {
    Fetch<kWords>(pass, panel);
    const std::byte* words = block.places + panel * block.panel_stride + pass.word * kBase27WordBytes;
    std::int16_t* dots = pass.dots + panel * kCodeRows * kTableTokens;
    float* y = block.y + panel * block.y_stride;
    const float* scales = block.weight_scales + panel * kCodeRows;
    for (std::size_t r = 0; r < kLanes; ++r, words += 4, dots += kTableTokens) {
      __m256i low = _mm256_setzero_si256(), high = low;
      if constexpr (!kFirst) {
        low = Load(dots);
        high = Load(dots + kLanes * kTableTokens);
      }
#pragma GCC unroll 3
      for (std::size_t w = 0; w < kWords; ++w) {
        std::uint32_t word;
        std::memcpy(&word, words + w * kBase27WordBytes, sizeof word);
        const std::byte* tables = pass.tables + w * kBase27Places * kTableBytes;
        low = AddWord<0>(low, word, tables);
        high = AddWord<16>(high, word, tables);
      }
      if constexpr (kLast) {
        scaled.Add(low, scales + r, y + r * kTableTokens);
        scaled.Add(high, scales + kLanes + r, y + (kLanes + r) * kTableTokens);
      } else {
        Store(dots, low);
        Store(dots + kLanes * kTableTokens, high);
      }
    }
  }
}

template <std::size_t kWords>
void AddWords(const TableBlock& block, std::size_t word, std::byte* tables, std::int16_t* dots) {
  for (std::size_t i = 0; i < kWords * kBase27Places; ++i)
    BuildTableOf({block.x, block.quads}, word * kBase27Places + i, tables + i * kTableBytes);
  const bool first = word == 0, last = word + kWords == Base27Words(block.quads);
  const auto add_rows = first && last ? AddRows<kWords, true, true>
                        : first       ? AddRows<kWords, true, false>
                        : last        ? AddRows<kWords, false, true>
                                      : AddRows<kWords, false, false>;
  for (std::size_t i = 0; i < block.ranges; ++i) {
    const TableBlock range = block.Range(i);
    add_rows({range, word, tables, dots + i * block.panels * kCodeRows * kTableTokens});
  }
}

}  // namespace

void AddBase27Block(const TableBlock& block) {
  // Damaged codes have places up to 31: wrong sums, but of this array.
  alignas(64) std::byte tables[kTogether * kBase27Places * kTableBytes + (32 - kSums) * kSumBytes];
  thread_local std::vector<std::int16_t> dots;
  dots.resize(std::max(dots.size(), block.ranges * block.panels * kCodeRows * kTableTokens));
  const std::size_t words = Base27Words(block.quads);
  std::size_t word = 0;
  for (; word + kTogether <= words; word += kTogether) AddWords<kTogether>(block, word, tables, dots.data());
  if (words - word == 2) AddWords<2>(block, word, tables, dots.data());
  if (words - word == 1) AddWords<1>(block, word, tables, dots.data());
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
