// SPDX-License-Identifier: Apache-2.0
// Products through tables with AVX2. A lane is a token, so that a row needs one load and one addition for 64
// products, where vpmaddubsw and an addition make 32. The target is set as in kernels/avx2.cc.
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

constexpr std::size_t kChunkInputs = 16;  // of a chunk of codes: four for each byte of a row in kTwoBit
constexpr int kTogether = 2;  // chunks whose tables are in use at once: 8 of them, 21 kB of the first cache
constexpr std::size_t kSums = 81;  // of a table: 3^4
constexpr std::size_t kTableBytes = kSums * kSumBytes;

// Places are the numbers c0 + 3 c1 + 9 c2 + 27 c3 < 81 of four codes: [chunks][rows of all panels][4], a byte
// each.

/// From chunk to chunk. The 64 bytes more keep the chunks of a panel out of the same lines of the first
/// cache.
std::size_t PlaceStride(std::size_t panels) { return panels * kChunkBytes + 64; }

/// Inline: GCC 12 drops calls of a function that only fetches.
FORGE_INLINE void FetchChunk(const std::byte* codes) {
  _mm_prefetch(reinterpret_cast<const char*>(codes), _MM_HINT_T1);
  _mm_prefetch(reinterpret_cast<const char*>(codes) + 64, _MM_HINT_T1);
}

void NumbersOfTwoBit(const std::byte* codes, std::size_t quads, std::size_t panel, std::size_t panels,
                     const std::byte* next, std::byte* out) {
  const std::size_t stride = PlaceStride(panels);
  out += panel * kChunkBytes;
  const __m256i pairs = _mm256_set1_epi8(0x33), low_half = _mm256_set1_epi8(15);
  for (std::size_t q = 0; q < quads; q += 4, codes += kChunkBytes, next += kChunkBytes, out += stride) {
    FetchChunk(next);
    for (std::size_t byte = 0; byte < kChunkBytes; byte += 32) {
      const __m256i bytes = Load(codes + byte);
      // Halves c0 + 4 c1 and c2 + 4 c3 to c0 + 3 c1 and c2 + 3 c3; then low + 16 high to low + 9 high.
      const __m256i nines = _mm256_sub_epi8(bytes, _mm256_and_si256(_mm256_srli_epi16(bytes, 2), pairs));
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(nines, 4), low_half);
      Store(out + byte, _mm256_add_epi8(_mm256_sub_epi8(nines, _mm256_slli_epi16(high, 3)), high));
    }
  }
}

__m256i Threefold(__m256i bytes) { return _mm256_add_epi8(_mm256_add_epi8(bytes, bytes), bytes); }

template <CodeLayout kLayout>
void NumbersOf(const std::byte* codes, std::size_t quads, std::size_t panel, std::size_t panels,
               const std::byte* next, std::byte* out) {
  const std::size_t stride = PlaceStride(panels);
  out += panel * kChunkBytes;
  alignas(32) std::uint8_t unpacked[(kMostBlock / 4 + 4) * kChunkBytes];
  Avx2CodeKernels().unpack[static_cast<int>(kLayout)](codes, quads, unpacked);
  const std::size_t padded = (quads + 3) / 4 * 4;
  std::memset(unpacked + quads * kChunkBytes, 0, (padded - quads) * kChunkBytes);
  for (std::size_t q = 0; q < quads; q += 4, next += kChunkBytes, out += stride) {
    FetchChunk(next);
    for (std::size_t byte = 0; byte < kChunkBytes; byte += 32) {
      const std::uint8_t* first = unpacked + q * kChunkBytes + byte;
      __m256i number = Load(first + 3 * kChunkBytes);
      for (int p = 2; p >= 0; --p) number = _mm256_add_epi8(Threefold(number), Load(first + p * kChunkBytes));
      Store(out + byte, number);
    }
  }
}

void WidenScales(const std::byte* scales, float* out) {
  for (std::size_t row = 0; row < kCodeRows; row += 8)
    _mm256_storeu_ps(out + row,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + 2 * row))));
}

/// Byte kByte of each 32 bits, with its sign.
template <int kByte>
__m256i Widened(__m256i bytes) {
  return _mm256_srai_epi32(_mm256_slli_epi32(bytes, 24 - 8 * kByte), 24);
}
/// Input kByte of a quad of 16 tokens, in 16 bits.
template <int kByte>
__m256i Inputs(const std::int8_t* quad) {
  return _mm256_permute4x64_epi64(
      _mm256_packs_epi32(Widened<kByte>(Load(quad)), Widened<kByte>(Load(quad + 32))), 0xd8);
}

/// The nine sums (i - 1) a + (j - 1) b at i + 3 j.
struct Nine {
  __m256i sums[9];

  Nine(__m256i a, __m256i b) {
    const __m256i zero = _mm256_setzero_si256(), minus_a = _mm256_sub_epi16(zero, a);
    const __m256i of_a[3] = {minus_a, zero, a};
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      sums[i] = _mm256_sub_epi16(of_a[i], b);
      sums[3 + i] = of_a[i];
      sums[6 + i] = _mm256_add_epi16(of_a[i], b);
    }
  }
};

/// The table of the bytes kByte of one chunk: inputs kByte of its four quads.
template <int kByte>
void BuildTable(const std::int8_t* x, std::byte* table) {
  constexpr int kQuad = 4 * kTableTokens;
  const Nine low(Inputs<kByte>(x), Inputs<kByte>(x + kQuad)),
      high(Inputs<kByte>(x + 2 * kQuad), Inputs<kByte>(x + 3 * kQuad));
  for (int j = 0; j < 9; ++j)
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i)
      Store(table + static_cast<std::size_t>(9 * j + i) * kSumBytes,
            _mm256_add_epi16(high.sums[j], low.sums[i]));
}

void BuildTables(const std::int8_t* x, int chunks, std::byte* tables) {
  for (int chunk = 0; chunk < chunks; ++chunk, x += kChunkInputs * kTableTokens, tables += 4 * kTableBytes) {
    BuildTable<0>(x, tables);
    BuildTable<1>(x, tables + kTableBytes);
    BuildTable<2>(x, tables + 2 * kTableBytes);
    BuildTable<3>(x, tables + 3 * kTableBytes);
  }
}

std::size_t Chunks(const TableBlock& block) { return (block.quads + 3) / 4; }

/// What the rows add of the tables of some chunks, the first and the last of the block or not; dots
/// [rows][16] are the sums on the way.
template <int kChunks, bool kFirst, bool kLast>
void AddRows(const TableBlock& block, std::size_t chunk, const std::byte* tables, std::int16_t* dots) {
  const std::size_t rows = block.panels * kCodeRows;
  const std::byte* next = block.next_codes == nullptr ? nullptr : block.next_codes + chunk * kChunkBytes;
  const std::size_t stride = PlaceStride(block.panels);
  const std::byte* numbers = block.places + chunk * stride;
  const ScaledSum scaled(block.x_scales, block.is_first);
  for (std::size_t row = 0; row < rows; ++row, numbers += 4) {
    if (row % kCodeRows == 0 && next != nullptr) {
      for (std::size_t c = 0; c < kChunks; ++c) FetchChunk(next + c * kChunkBytes);
      next += block.next_stride;
    }
    __m256i sum = kFirst ? _mm256_setzero_si256() : Load(dots + row * kTableTokens);
#pragma GCC unroll 4
    for (std::size_t c = 0; c < kChunks; ++c) {
      std::uint32_t four;
      std::memcpy(&four, numbers + c * stride, sizeof four);
      const std::byte* table = tables + 4 * c * kTableBytes;
      sum = AddSum<0, 255>(sum, four, table);
      sum = AddSum<8, 255>(sum, four, table + kTableBytes);
      sum = AddSum<16, 255>(sum, four, table + 2 * kTableBytes);
      sum = AddSum<24, 255>(sum, four, table + 3 * kTableBytes);
    }
    if constexpr (kLast)
      scaled.Add(sum, block.weight_scales + row,
                 block.y + row / kCodeRows * block.y_stride + row % kCodeRows * kTableTokens);
    else
      Store(dots + row * kTableTokens, sum);
  }
}

template <int kChunks>
void AddChunks(const TableBlock& block, std::size_t chunk, std::byte* tables, std::int16_t* dots) {
  BuildTables(block.x + chunk * kChunkInputs * kTableTokens, kChunks, tables);
  const bool first = chunk == 0, last = chunk + kChunks == Chunks(block);
  const auto add_rows = first && last ? AddRows<kChunks, true, true>
                        : first       ? AddRows<kChunks, true, false>
                        : last        ? AddRows<kChunks, false, true>
                                      : AddRows<kChunks, false, false>;
  for (std::size_t i = 0; i < block.ranges; ++i)
    add_rows(block.Range(i), chunk, tables, dots + i * block.panels * kCodeRows * kTableTokens);
}

void AddBlock(const TableBlock& block) {
  if (block.is_direct) return AddBase27Block(block);
  // Damaged codes have numbers up to 255: wrong sums, but of this array.
  alignas(64) std::byte tables[kTogether * 4 * kTableBytes + (256 - kSums) * kSumBytes];
  thread_local std::vector<std::int16_t> dots;
  dots.resize(std::max(dots.size(), block.ranges * block.panels * kCodeRows * kTableTokens));
  const std::size_t chunks = Chunks(block);
  std::size_t chunk = 0;
  for (; chunk + kTogether <= chunks; chunk += kTogether)
    AddChunks<kTogether>(block, chunk, tables, dots.data());
  for (; chunk < chunks; ++chunk) AddChunks<1>(block, chunk, tables, dots.data());
}

void TransposeEight(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  __m256 rows[8], pairs[8], fours[8];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) rows[i] = _mm256_loadu_ps(in + i * in_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
      fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
    }
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
  }
}

/// [32 rows][16 tokens] as [16][32].
void Transpose(float* y) {
  float rows[kCodeRows * kTableTokens];
  std::memcpy(rows, y, sizeof rows);
  for (std::size_t row = 0; row < kCodeRows; row += 8)
    for (std::size_t token = 0; token < kTableTokens; token += 8)
      TransposeEight(rows + row * kTableTokens + token, kTableTokens, y + token * kCodeRows + row, kCodeRows);
}

}  // namespace

const TableKernels& Avx2TableKernels() {
  static constexpr TableKernels table{
      .places = {NumbersOfTwoBit, NumbersOf<CodeLayout::kBase3>, nullptr, nullptr, nullptr, nullptr},
      .direct_layout = CodeLayout::kBase27,
      .widen_scales = WidenScales,
      .add_block = AddBlock,
      .turn = Transpose,
      .fewest_tokens = kTableTokens / 2,  // lanes without a token take as long as others
      .smallest_block = 64,
      .piece_panels = 32,
      .piece_tiles = 4,
      .direct_tiles = 1,
      .direct_panels = 32};
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
