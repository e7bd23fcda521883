// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "runtime/ternary/code_panels.h"

namespace forge::runtime {

/// Tokens of a tile that goes through tables of sums.
inline constexpr std::size_t kTableTokens = 16;
/// Room in bytes for the places of one panel's codes of a block, whatever the target makes of them.
inline constexpr std::size_t kPlaceBytes = kMostBlock * kCodeRows / 2;

/// One block of ternary weights times 16 tokens, through tables of sums (the method of Arlazarov, Dinic,
/// Kronrod and Faradzev, 1970; over activations as in T-MAC, arXiv 2407.00088): some neighbouring inputs have
/// few different sums of products with codes, which are computed once, and a row of weights adds one of them
/// where it would multiply and add several times. A sum fits 16 bits, because a block has at most kMostBlock
/// inputs: 256 * 127 < 32768.
///   y[t][r] += float(sum over k of (code[r][k] - 1) * x[t][k]) * (weight scale * activation scale)
struct TableBlock {
  /// What TableKernels::places made of all panels' codes, or the codes of the first panel in its
  /// direct_layout.
  const std::byte* places;
  bool is_direct;
  std::size_t panel_stride;     // from panel to panel of those codes
  const std::byte* next_codes;  // those of the next block, to be fetched meanwhile; null: not to be
  std::size_t next_stride;      // from panel to panel of them
  /// Ranges of so many neighbouring panels, for which the same tables serve: gates and their ups.
  std::size_t ranges = 1, panels;
  std::size_t range_places = 0, range_codes = 0;  // from range to range of places and of next_codes
  std::size_t quads;
  std::size_t tokens;          // those wanted, 1 to 16; others may be computed too
  const std::int8_t* x;        // [quads up to a multiple of 4][16 tokens][4]; those beyond `quads` are zeros
  const float* weight_scales;  // [ranges][32 panels]
  const float* x_scales;       // [16]
  const std::int32_t* x_sums;  // [16]
  /// Of each panel 512, y_stride apart: [16][32], or what `turn` makes that of.
  float* y;
  std::size_t y_stride;
  bool is_first;  // what y was is not counted

  /// One of the ranges alone.
  TableBlock Range(std::size_t range) const {
    TableBlock one = *this;
    one.ranges = 1;
    one.places += range * range_places;
    if (next_codes != nullptr) one.next_codes += range * range_codes;
    one.weight_scales += range * panels * kCodeRows;
    one.y += range * panels * y_stride;
    return one;
  }
};

/// What a target needs for products through tables.
struct TableKernels {
  /// The places in the tables of the codes that panel `panel` of `panels` has in a block; `out` has
  /// kPlaceBytes for each. Those of another panel are `next`, to be fetched meanwhile. By CodeLayout, ternary
  /// ones only, but for direct_layout.
  void (*places[kCodeLayouts])(const std::byte* codes, std::size_t quads, std::size_t panel,
                               std::size_t panels, const std::byte* next, std::byte* out);
  /// The layout whose codes are places as add_block takes them, for any number of tokens but one.
  std::optional<CodeLayout> direct_layout;
  /// The weight scales of one panel, binary16 [32], as floats [32].
  void (*widen_scales)(const std::byte* scales, float* out);
  void (*add_block)(const TableBlock& block);
  /// What add_block leaves of one panel as [16][32], in place; none where it is so already.
  void (*turn)(float* y);
  /// Tokens, and inputs of a block, from which on tables are faster than tiles.
  std::size_t fewest_tokens, smallest_block;
  /// Panels of a piece, whose places and sums stay in the second cache, and tiles of 16 tokens that share the
  /// work of finding those places.
  std::size_t piece_panels, piece_tiles;
  std::size_t direct_tiles, direct_panels;  // of direct_layout; those panels if there is one tile in all
};

/// Only where the processor has AVX2, FMA, F16C and BMI2.
const TableKernels& Avx2TableKernels();
/// Only where it has AVX-512 F, BW, VL, DQ and VNNI.
const TableKernels& Avx512TableKernels();

}  // namespace forge::runtime
