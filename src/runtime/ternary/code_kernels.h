// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ternary/code_panels.h"
#include "runtime/ternary/code_tables.h"

namespace forge::runtime {

/// Most blocks of a tile.
inline constexpr std::size_t kBlocksOfTile = 8;

/// The product of some tokens with neighbouring blocks of one panel:
///   y[t][r] += float(sum over k of (code[r][k] - zero) * x[t][k]) * (weight scale * activation scale),
/// block after block, each step one fused multiply-add.
struct CodeTile {
  const std::byte* codes;   // of the first block
  std::size_t code_stride;  // bytes from block to block
  const std::byte* lower;   // packed codes of kHalves: the lower halves, `lower_stride` apart
  std::size_t lower_stride;
  const std::byte* weight_scales[kBlocksOfTile];  // of each block: binary16 [32]
  std::size_t blocks, quads;                      // 1 to kBlocksOfTile blocks of so many quads
  int zero_bits;                                  // zero is 1 << zero_bits
  /// What HalfKernels::unpacked_upper_tile fetches from memory on the way: so many lines for each 8 quads of
  /// 16 rows.
  const std::byte* ahead = nullptr;
  std::size_t lines_of_step = 0;

  std::size_t tokens;     // 1 .. tile_tokens, the first of each width
  const std::int8_t* x;   // as in Int8Tile, of the first block
  const float* x_scales;  // of the first block
  const std::int32_t* x_sums;
  std::size_t x_width;
  float* y;  // [tokens][32]

  /// `count` blocks of a panel from `block` on, as they are packed: of one group, or each a group of its own
  /// (others are not equally far apart, and only for codes that are unpacked elsewhere). Without tokens.
  CodeTile(const CodePanels& panels, std::size_t panel, std::size_t block, std::size_t count);
  /// Tokens [first, first + count) of `from`, whose blocks of `block_length` inputs meet those of the tile
  /// from x_block on.
  void SetTokens(const Int8Tile& from, std::size_t first, std::size_t count, std::size_t x_block,
                 std::size_t block_length);
};

/// The activations of one token, and how far a row's sum may be from what its upper halves say of it
/// (best_rows.h): unit * sqrt(sum over blocks of spreads[block] * weight scale^2).
inline constexpr std::int32_t kTwiceMiddle = 2 * 128 - 15;  // twice what 16 upper has to be less: 128 - 7.5
struct SpreadTile {
  Int8Tile x;            // of width 1
  const float* spreads;  // [blocks]
  float unit;
};
/// The same of some tokens.
struct TokenSpreads {
  std::size_t tokens;
  std::size_t stride;    // tokens, rounded up to a multiple of 4
  const float* spreads;  // [blocks][stride], zeros where there is no token
  const float* units;    // [tokens]
};

/// Those of kHalves.
struct HalfKernels {
  /// As CodeKernels::multiply_row: exact, from both halves.
  void (*multiply_row)(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last,
                       float* y);
  /// As CodeKernels::packed_tile.
  void (*packed_tile)(const CodeTile& tile);
  /// As CodeKernels::unpack, which cannot take two pointers.
  void (*join)(const std::byte* upper, const std::byte* lower, std::size_t quads, std::uint8_t* out);
  /// For each panel in [first, last) the largest bound of its rows, bounds [last - first]: the product of one
  /// token with the codes 16 upper + 7.5, the middle of what they can be, plus the tile's spread.
  void (*bound_panels)(const CodePanels& panels, const SpreadTile& tile, std::size_t first, std::size_t last,
                       float* bounds);
  // The bounds of several tokens.
  /// As CodeKernels::tile for the upper halves as packed, of which the activations' sums (x_sums) are what is
  /// taken off: y[t][r] += float(sum over k of 16 upper[r][k] x[t][k] - x_sums) * (weight scale * activation
  /// scale). `lower` and zero_bits (0) are not used.
  void (*upper_tile)(const CodeTile& tile);
  /// upper_tile of upper halves that are unpacked as 4-bit codes are (CodeKernels::unpack): for more tokens
  /// than a tile has; none where that is no faster.
  void (*unpacked_upper_tile)(const CodeTile& tile);
  /// bounds[t] = the largest y[t][r] + units[t] * sqrt(sum over blocks of spreads[block][t] * weight scale^2)
  /// of one panel; none where the products themselves take no longer than these and upper_tile.
  ///   y [tokens][32], bounds [tokens]
  void (*bound_tokens)(const CodePanels& panels, std::size_t panel, const TokenSpreads& spreads,
                       const float* y, float* bounds);
  /// The same with one weight scale for each row: bounds[t] = the largest y[t][r] + spreads[t] * scales[r].
  ///   scales binary16 [32], spreads [tokens]
  void (*bound_rows)(const std::byte* scales, std::size_t tokens, const float* spreads, const float* y,
                     float* bounds);
};

/// The hot loops of integer weights x int8 activations of one target. Sums of products are exact, and every
/// float is one fixed sequence of operations, so all targets give the same bits, whatever the number of
/// tokens. The scalar table is the twin that the tests compare with.
struct CodeKernels {
  /// For each block of x: scale = max |x| / 127, code = x * (127 / max |x|) to the nearest, ties to even; a
  /// block of zeros (or one so small that 127 / max is not finite) has scale and codes 0. x must be finite.
  ///   codes [size], scales, sums [size / block rounded up]
  void (*quantize)(const float* x, std::size_t size, std::size_t block, std::int8_t* codes, float* scales,
                   std::int32_t* sums);
  /// One token (width 1) times the panels [first, last): y [32 (last - first)]. By CodeLayout.
  void (*multiply_row[kCodeLayouts])(const CodePanels& panels, const Int8Tile& x, std::size_t first,
                                     std::size_t last, float* y);
  /// The codes of one block, a byte each: out [quads][32 rows][4], where quads beyond the last may be
  /// written up to a multiple of 5. By CodeLayout; none for kInt8, which is stored so, and for kHalves,
  /// which HalfKernels::join unpacks.
  void (*unpack[kCodeLayouts])(const std::byte* codes, std::size_t quads, std::uint8_t* out);
  /// Most tokens of a tile.
  std::size_t tile_tokens;
  /// Unpacked codes 0 .. 15; at most 256 inputs a block for codes up to 2, 32 for others.
  void (*tile)(const CodeTile& tile);
  /// Codes 0 .. 255 with zero 128.
  void (*byte_tile)(const CodeTile& tile);
  /// Codes as they are packed, unpacked in registers: for few tokens, which would not pay for unpack. By
  /// CodeLayout; none where there is no such kernel.
  void (*packed_tile[kCodeLayouts])(const CodeTile& tile);
  /// Products of many tokens with ternary codes that are faster than tiles; none where tiles are.
  const TableKernels* tables;
  const HalfKernels* halves;
};

/// Those of kBase27, as in CodeKernels.
struct Base27Kernels {
  void (*multiply_row)(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last,
                       float* y);
  void (*unpack)(const std::byte* codes, std::size_t quads, std::uint8_t* out);
};
const Base27Kernels& Avx2Base27();  // as Avx2CodeKernels
/// One token times panels of kBase27, as CodeKernels::multiply_row, through tables; where Avx512TableKernels
/// may run.
void MultiplyBase27Row(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last,
                       float* y);
/// TableKernels::add_block of kBase27 with AVX2.
void AddBase27Block(const TableBlock& block);
const HalfKernels& Avx2HalfKernels();    // as Avx2CodeKernels
const HalfKernels& Avx512HalfKernels();  // as Avx512CodeKernels
const CodeKernels& ScalarCodeKernels();
const CodeKernels& Avx2CodeKernels();    // only where the processor has AVX2, FMA, F16C and BMI2
const CodeKernels& Avx512CodeKernels();  // only where it has AVX-512 F, BW, VL and VNNI
/// Sets the entries of kBase3 in a table of AVX-512; only where the processor has AVX-512 VBMI.
void UseVbmiForBase3(CodeKernels& kernels);
/// The table of ChosenTarget().
const CodeKernels& ChosenCodeKernels();
/// Whether that table reads kBase3 faster than the memory brings it (AVX-512 with VBMI).
bool HasFastBase3();

}  // namespace forge::runtime
