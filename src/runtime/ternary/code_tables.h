// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ternary/code_panels.h"

namespace forge::runtime {

/// Tokens that a table of sums serves: lanes of 16 bits.
inline constexpr std::size_t kTableTokens = 16;
/// Inputs of a chunk of codes: four for each byte of a row in kTwoBit.
inline constexpr std::size_t kChunkInputs = 16;

/// One block of ternary weights times 16 tokens, through tables of sums (the method of Arlazarov, Dinic,
/// Kronrod and Faradzev, 1970; over activations as in T-MAC, arXiv 2407.00088): four inputs have 81 different
/// sums of products with codes, which are computed once, and a row of weights adds one of them, where it
/// would multiply and add four times. A sum fits 16 bits, because a block has at most kMostBlock inputs: 256
/// * 127 < 32768.
///   y[r][t] += float(sum over k of (code[r][k] - 1) * x[t][k]) * (weight scale * activation scale)
struct TableBlock {
  const std::uint16_t* offsets;  // [chunks][rows][4]: of four codes each, for their sum's place
  std::size_t chunks, rows;
  const std::int8_t* x;        // [4 chunks quads][16 tokens][4]
  const float* weight_scales;  // [rows]
  const float* x_scales;       // [16]
  std::int16_t* dots;          // [rows][16], for the sums on the way
  float* y;                    // [rows][16]
};

/// What a target needs for products through tables.
struct TableKernels {
  /// The places of one panel's codes of a block: chunk c at out + c * stride, [32 rows][4]. Codes beyond
  /// `quads` count as 0. By CodeLayout, ternary ones only.
  void (*offsets[2])(const std::byte* codes, std::size_t quads, std::size_t stride, std::uint16_t* out);
  void (*add_block)(const TableBlock& block);
  /// y [32 rows][16] as out [16][32].
  void (*transpose)(const float* y, float* out);
};

/// Only where the processor has AVX2, FMA and F16C.
const TableKernels& Avx2TableKernels();

}  // namespace forge::runtime
