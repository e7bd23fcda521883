// SPDX-License-Identifier: Apache-2.0
// Products through tables with AVX-512. Three inputs have 27 different sums with ternary codes, which fit one
// register: a lane is a row, and vpermw looks up the sums of 32 rows at once, 96 products for it and an
// addition, where vpdpbusd makes 64. The target is set as in kernels/avx512.cc.
#include "runtime/ternary/code_kernels.h"
#include "runtime/ternary/code_tables.h"

#if defined(__x86_64__)
// GCC 12's own header starts many intrinsics from a register that it leaves undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <algorithm>
#include <array>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,f16c")

namespace forge::runtime {
namespace {

#include "runtime/ternary/code_tables_avx512.inc"

// A place is the number c0 + 3 c1 + 9 c2 < 27 of three codes. A word of a row has two of them, in the low
// five bits of each byte (vpermw does not look at the others):
//   three quads q, q + 1, q + 2 are four places b, of the inputs b of the quads: words 0, 1 and 2, 3
//   two quads that are left at the end are the same, with c2 = 0
//   one quad is one word, of the inputs 0, 1 and 2, 3, each with c2 = 0
// kBase27 has the same places in the same order, three to a word of five bits each, and is used as it lies.
// The words of 32 rows: row r in the low half of lane r of 16, row 16 + r in the high half. What is left out
// of this order are the sums of 32 bits that they end as.
constexpr std::size_t kHalves = 2;      // vectors of 16 rows
constexpr std::size_t kTogether = 4;    // tokens, whose tables stay in the first cache: 22 kB
constexpr std::size_t kMostPanels = 4;  // that use a table while it is in a register
constexpr std::size_t kMostPairs = (kMostBlock / 4 + 2) / 3 * 2;  // of places, in a block
constexpr std::size_t kTableWords = kTogether * kWords;           // of one place, of all tokens

/// Vectors of words, two places each, of a block.
std::size_t Pairs(std::size_t quads) { return quads / 3 * 2 + quads % 3; }

struct Numbers {
  __m512i halves[kHalves];  // of the rows 0 .. 15 and 16 .. 31: a byte for each input of a quad

  static Numbers At(const std::uint8_t* codes) { return {{Load(codes), Load(codes + 64)}}; }
  /// 3 this + other, byte by byte.
  Numbers ThreefoldAnd(const Numbers& other) const {
    Numbers sum;
    for (std::size_t half = 0; half < kHalves; ++half)
      sum.halves[half] = _mm512_add_epi8(_mm512_add_epi8(halves[half], halves[half]),
                                         _mm512_add_epi8(halves[half], other.halves[half]));
    return sum;
  }
  /// Of each input the one behind it, where that is in the same half of a quad.
  Numbers Behind() const { return {{_mm512_srli_epi16(halves[0], 8), _mm512_srli_epi16(halves[1], 8)}}; }
  /// Words of the inputs 0, 1 and 2, 3 of all rows.
  __m512i First() const {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, halves[0], _mm512_slli_epi32(halves[1], 16));
  }
  __m512i Second() const {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(halves[0], 16), halves[1]);
  }
  void Store(std::byte* words) const {
    _mm512_storeu_si512(words, First());
    _mm512_storeu_si512(words + 64, Second());
  }
};

template <CodeLayout kLayout>
void Places(const std::byte* codes, std::size_t quads, std::size_t panel, std::size_t, const std::byte*,
            std::byte* out) {
  alignas(64) std::uint8_t unpacked[(kMostBlock / 4 + 4) * kChunkBytes];
  Avx512CodeKernels().unpack[static_cast<int>(kLayout)](codes, quads, unpacked);
  out += panel * kPlaceBytes;
  const std::uint8_t* quad = unpacked;
  for (; quads >= 3; quads -= 3, quad += 3 * kChunkBytes, out += 128) {
    Numbers::At(quad + 2 * kChunkBytes)
        .ThreefoldAnd(Numbers::At(quad + kChunkBytes))
        .ThreefoldAnd(Numbers::At(quad))
        .Store(out);
  }
  if (quads == 2) {
    Numbers::At(quad + kChunkBytes).ThreefoldAnd(Numbers::At(quad)).Store(out);
  } else if (quads == 1) {
    const Numbers one = Numbers::At(quad), numbers = one.Behind().ThreefoldAnd(one);
    _mm512_storeu_si512(out, _mm512_or_si512(_mm512_and_si512(numbers.First(), _mm512_set1_epi16(0xff)),
                                             _mm512_slli_epi16(numbers.Second(), 8)));
  }
}

__m128i FourTokens(const std::int8_t* quad) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(quad));
}

/// The tables of four places, inputs b of the quads a, b and c of four tokens: [4 places][4 tokens][32].
void BuildGroup(const TableBuilder& builder, __m128i a, __m128i b, __m128i c, std::int16_t* tables) {
  alignas(16) std::uint32_t inputs[4 * kTogether];  // [tokens][4 places]
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8(a, b), high = _mm_unpackhi_epi8(a, b);
  const __m128i low_c = _mm_unpacklo_epi8(c, zero), high_c = _mm_unpackhi_epi8(c, zero);
  auto* to = reinterpret_cast<__m128i*>(inputs);
  _mm_store_si128(to, _mm_unpacklo_epi16(low, low_c));
  _mm_store_si128(to + 1, _mm_unpackhi_epi16(low, low_c));
  _mm_store_si128(to + 2, _mm_unpacklo_epi16(high, high_c));
  _mm_store_si128(to + 3, _mm_unpackhi_epi16(high, high_c));
#pragma GCC unroll 4
  for (std::size_t place = 0; place < 4; ++place)
#pragma GCC unroll 4
    for (std::size_t token = 0; token < kTogether; ++token)
      builder.Build(inputs + 4 * token + place, tables + place * kTableWords + token * kWords);
}

/// The tables of one quad that is left: of its inputs 0, 1 and 2, 3.
void BuildLast(const TableBuilder& builder, __m128i quad, std::int16_t* tables) {
  alignas(16) std::uint32_t inputs[2][kTogether];
  _mm_store_si128(reinterpret_cast<__m128i*>(inputs[0]), _mm_and_si128(quad, _mm_set1_epi32(0xffff)));
  _mm_store_si128(reinterpret_cast<__m128i*>(inputs[1]), _mm_srli_epi32(quad, 16));
  for (std::size_t place = 0; place < 2; ++place)
    for (std::size_t token = 0; token < kTogether; ++token)
      builder.Build(&inputs[place][token], tables + place * kTableWords + token * kWords);
}

/// All tables of a block of four tokens, in the order of the words: x [quads][16][4].
void BuildTables(const std::int8_t* x, std::size_t quads, std::int16_t* tables) {
  constexpr std::size_t kQuad = 4 * kTableTokens;
  const TableBuilder builder;
  for (; quads >= 3; quads -= 3, x += 3 * kQuad, tables += 4 * kTableWords)
    BuildGroup(builder, FourTokens(x), FourTokens(x + kQuad), FourTokens(x + 2 * kQuad), tables);
  if (quads == 2)
    BuildGroup(builder, FourTokens(x), FourTokens(x + kQuad), _mm_setzero_si128(), tables);
  else if (quads == 1)
    BuildLast(builder, FourTokens(x), tables);
}

/// Four tokens of a block and their tables.
struct Part {
  const TableBlock& block;
  std::size_t words, first_token;
  const std::int16_t* tables;
};

/// y, if `kept` has all lanes, or nothing, plus dots * scale.
void AddTo(float* y, __mmask16 kept, __m512i dots, __m512 scale) {
  _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scale, _mm512_maskz_loadu_ps(kept, y)));
}

/// Lines to fetch while the panels from `panel` on are added, so many for each word: of the next block, of
/// which each part of the tokens takes its panels; and, as nobody has asked for the first block before, of
/// the next panels.
struct Ahead {
  const std::byte* lines[2 * kMostPanels];
  std::size_t count = 0;

  Ahead(const Part& part, std::size_t panel, std::size_t panels) {
    const TableBlock& block = part.block;
    if (block.next_codes == nullptr || !block.is_direct) return;
    const std::size_t parts = (block.tokens + kTogether - 1) / kTogether;
    for (std::size_t p = part.first_token / kTogether; p < panels; p += parts)
      lines[count++] = block.next_codes + (panel + p) * block.next_stride;
    if (!block.is_first || part.first_token != 0) return;
    for (std::size_t p = panel + panels; p < std::min(panel + 2 * panels, block.panels); ++p)
      lines[count++] = block.places + p * block.panel_stride;
  }
  __attribute__((always_inline)) void Fetch(std::size_t word) const {
    for (std::size_t i = 0; i < count; ++i)
      _mm_prefetch(reinterpret_cast<const char*>(lines[i] + 64 * word), _MM_HINT_T1);
  }
};

/// What the panels from `panel` on add for the four tokens. A word has kPlaces places, kBits apart.
template <std::size_t kPanels, int kPlaces, int kBits>
void AddPanels(const Part& part, std::size_t panel) {
  const TableBlock& block = part.block;
  const Ahead ahead(part, panel, kPanels);
  const std::size_t stride = block.panel_stride;
  __m512i sums[kPanels][kTogether], words[kPanels];
#pragma GCC unroll 4
  for (std::size_t t = 0; t < kTogether; ++t) {
    // Codes of 0, 1, 2 stand for -1, 0, 1. Sums may leave 16 bits on their way and are back at its end.
    const __m512i zeros = _mm512_set1_epi16(static_cast<short>(-block.x_sums[part.first_token + t]));
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPanels; ++p) sums[p][t] = zeros;
  }
  const std::byte* places = block.places + panel * stride;
  const std::int16_t* table = part.tables;
  for (std::size_t word = 0; word < part.words; ++word, places += 64) {
    ahead.Fetch(word);
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPanels; ++p) words[p] = Load(places + p * stride);
#pragma GCC unroll 3
    for (int place = 0; place < kPlaces; ++place) {
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTogether; ++t, table += kWords) {
        const __m512i sums_of_inputs = _mm512_load_si512(table);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kPanels; ++p)
          Add(sums[p][t], _mm512_permutexvar_epi16(words[p], sums_of_inputs));
      }
#pragma GCC unroll 4
      for (std::size_t p = 0; p < kPanels; ++p) words[p] = _mm512_srli_epi16(words[p], kBits);
    }
  }
  const __m512i low_half = _mm512_set1_epi32(1);  // one word of two
  const __mmask16 kept = block.is_first ? 0 : 0xffff;
  float* y = block.y + panel * block.y_stride + part.first_token * kCodeRows;
#pragma GCC unroll 4
  for (std::size_t p = 0; p < kPanels; ++p, y += block.y_stride) {
    asm(""
        : "+r"(y)
        :
        : "memory");  // or GCC begins with all panels at once, for which registers do not suffice
    const float* scales = block.weight_scales + (panel + p) * kCodeRows;
    const __m512 first = _mm512_loadu_ps(scales), second = _mm512_loadu_ps(scales + 16);
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTogether; ++t) {
      const __m512 x_scale = _mm512_set1_ps(block.x_scales[part.first_token + t]);
      AddTo(y + t * kCodeRows, kept, _mm512_madd_epi16(sums[p][t], low_half), _mm512_mul_ps(first, x_scale));
      AddTo(y + t * kCodeRows + 16, kept, _mm512_srai_epi32(sums[p][t], 16), _mm512_mul_ps(second, x_scale));
    }
  }
}

template <int kPlaces, int kBits>
void AddAllPanels(const Part& part) {
  std::size_t panel = 0;
  for (; panel + kMostPanels <= part.block.panels; panel += kMostPanels)
    AddPanels<kMostPanels, kPlaces, kBits>(part, panel);
  switch (part.block.panels - panel) {
    case 3:
      return AddPanels<3, kPlaces, kBits>(part, panel);
    case 2:
      return AddPanels<2, kPlaces, kBits>(part, panel);
    case 1:
      return AddPanels<1, kPlaces, kBits>(part, panel);
    default:
      return;
  }
}

void AddBlock(const TableBlock& block) {
  alignas(64) std::int16_t tables[2 * kMostPairs * kTableWords];
  const std::size_t places = 2 * Pairs(block.quads), words = Base27Words(block.quads);
  // A place that the last word lacks is a 0 there, which adds the first sum.
  if (block.is_direct)
    std::fill(tables + places * kTableWords, tables + kBase27Places * words * kTableWords, std::int16_t{0});
  for (std::size_t token = 0; token < block.tokens; token += kTogether) {
    BuildTables(block.x + 4 * token, block.quads, tables);
    for (std::size_t i = 0; i < block.ranges; ++i) {
      const TableBlock range = block.Range(i);
      if (block.is_direct)
        AddAllPanels<kBase27Places, 5>({range, words, token, tables});
      else
        AddAllPanels<2, 8>({range, Pairs(block.quads), token, tables});
    }
  }
}

}  // namespace

const TableKernels& Avx512TableKernels() {
  static const TableKernels table{
      .places = {Places<CodeLayout::kTwoBit>, Places<CodeLayout::kBase3>, nullptr, nullptr, nullptr, nullptr},
      .direct_layout = CodeLayout::kBase27,
      .widen_scales = Avx2TableKernels().widen_scales,  // once for a panel's 32 rows: not worth another
      .add_block = AddBlock,
      .turn = nullptr,
      .fewest_tokens = 48,
      .smallest_block = 256,  // with 64, scaling takes so long that tiles do 1.15 times as much
      .piece_panels = 64,
      .piece_tiles = 8,
      .direct_tiles = 8,
      .direct_panels = 160};  // with the tables of all tokens: of few tokens, which is all that a thread does
  return table;
}

}  // namespace forge::runtime

#pragma GCC pop_options
#endif
