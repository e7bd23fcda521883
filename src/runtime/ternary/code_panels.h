// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace forge::runtime {

/// Integer weights for products with int8 activations. Each layout stands for value = scale * (code - zero):
///   kTwoBit  codes 0, 1, 2 (ternary), zero 1; 2 bits each
///   kBase3   the same codes, five to a byte; about 1.6 bits each
///   kInt4    codes 0 .. 15, zero 8 (GGUF's Q4_0)
///   kInt8    codes 0 .. 255, zero 128 (GGUF's Q8_0)
///   kHalves  the codes of kInt8 as 16 upper + lower, in two regions: the upper halves alone are codes of
///            kInt4 with 16 times the scale, from which most rows can be ruled out (best_rows.h); may be
///            rotated (CodePanels::is_rotated)
///   kBase27  ternary codes again, nine to 16 bits; about 1.8 bits each: three neighbours are a place in a
///            table of 27 sums, as it is looked up (code_tables_avx512.cc, code_base27_tables_avx2.cc)
enum class CodeLayout { kTwoBit, kBase3, kInt4, kInt8, kHalves, kBase27 };
inline constexpr std::size_t kCodeLayouts = 6;

constexpr bool IsTernary(CodeLayout layout) {
  return layout == CodeLayout::kTwoBit || layout == CodeLayout::kBase3 || layout == CodeLayout::kBase27;
}

/// Rows (output features) that one panel holds: two vectors of 16 lanes of 32 bits.
inline constexpr std::size_t kCodeRows = 32;
/// Bytes of a chunk: 4 for each row. Lane r of a vector belongs to row r alone, so that a product needs no
/// sum across lanes.
inline constexpr std::size_t kChunkBytes = 4 * kCodeRows;
/// Most values that share an activation scale: 256 products of a code up to 2 and an int8 fit 16 bits.
inline constexpr std::size_t kMostBlock = 256;
/// Inputs that are rotated together, which have kMostBlock activations to a scale: shorter blocks gain
/// nothing that shows (docs/results.md).
inline constexpr std::size_t kRotation = 32;

/// Panels of 32 rows by `depth` inputs k. Inputs are cut into blocks, which have one activation scale each
/// (the last may be shorter), and into groups of whole blocks, which have one weight scale for each row.
///
///   panel  group*
///   group  32 binary16 scales, block*
///   block  chunk*; a quad is four neighbouring inputs, quad q of a block the inputs 4q .. 4q + 3:
///     kTwoBit  chunk c, byte 4r + b: input b of quad 4c + p of row r in the bits 2p, 2p + 1; p = 0 .. 3
///     kBase3   the same for quads 5c + p, p = 0 .. 4, as the digit of 3^p; what is left when five does not
///              divide the quads is a chunk of kTwoBit
///     kInt4    quad 2c in the low half of each byte, quad 2c + 1 in the high half
///     kInt8    quad c
///     kHalves  the upper halves as codes of kInt4
///     kBase27  not in chunks but in words: word w of row r are the 16 bits at byte 64 w + 4 (r % 16) +
///              2 (r / 16), and holds the places 3w + p, p = 0 .. 2, in the bits from 5p on (Base27Digit)
/// kHalves has the lower halves behind the last panel, panel by panel: block*, each as in kInt4.
/// Codes beyond the last input are 0, and so are scales beyond the last row.
struct CodePanels {
  CodeLayout layout;
  const std::byte* data;  // [panels][panel_bytes], at a multiple of 64 bytes
  std::size_t depth, block, group;
  std::size_t block_bytes, group_bytes, panel_bytes;
  const std::byte* lower = nullptr;  // of kHalves: [panels][lower_panel_bytes]
  std::size_t lower_panel_bytes = 0;
  /// Of kHalves: the weights and what they multiply are those of inputs k times a Hadamard matrix, each
  /// kRotation of them, over sqrt(kRotation) (RotateInputs). Their products are the same, and outliers are
  /// spread over many inputs (QuaRot, arXiv:2404.00456), so that one weight scale for each row does.
  bool is_rotated = false;

  std::size_t blocks() const { return (depth + block - 1) / block; }
  std::size_t BlockLength(std::size_t index) const { return std::min(block, depth - index * block); }
  /// Where the scales of a block's group are, binary16 [32].
  const std::byte* Scales(std::size_t panel, std::size_t index) const {
    return data + panel * panel_bytes + index * block / group * group_bytes;
  }
  const std::byte* Codes(std::size_t panel, std::size_t index) const {
    return Scales(panel, index) + 2 * kCodeRows + index % (group / block) * block_bytes;
  }
  /// The lower halves of a block of kHalves.
  const std::byte* LowerCodes(std::size_t panel, std::size_t index) const {
    return lower + panel * lower_panel_bytes + index * block_bytes;
  }
};

constexpr std::size_t DivideUp(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
constexpr std::size_t Quads(std::size_t length) { return DivideUp(length, 4); }

/// Where kBase27 has input b of a quad: its code times 3^digit is part of the place. Three quads are four
/// places, of their inputs b; two that are left over are the same without a third digit; one that is left
/// over is two places, of its inputs 0, 1 and 2, 3.
struct Base27Digit {
  std::size_t place, digit;
};
constexpr Base27Digit FindBase27Digit(std::size_t quads, std::size_t quad, std::size_t b) {
  const std::size_t group = quad / 3;
  if (quads % 3 == 1 && quad + 1 == quads) return {4 * group + b / 2, b % 2};
  return {4 * group + b, quad % 3};
}
inline constexpr std::size_t kBase27Places = 3;                   // of a word
inline constexpr std::size_t kBase27WordBytes = kChunkBytes / 2;  // of all rows
constexpr std::size_t Base27Words(std::size_t quads) {
  const std::size_t places = quads / 3 * 4 + quads % 3 * 2;
  return (places + kBase27Places - 1) / kBase27Places;
}

/// The code that stands for zero, as a power of two.
constexpr int ZeroBits(CodeLayout layout) {
  return layout == CodeLayout::kInt8 || layout == CodeLayout::kHalves ? 7
         : layout == CodeLayout::kInt4                                ? 3
                                                                      : 0;
}

/// Bytes of a block of `length` inputs; of kHalves: of each half.
constexpr std::size_t CodeBlockBytes(CodeLayout layout, std::size_t length) {
  const std::size_t quads = Quads(length);
  if (layout == CodeLayout::kBase27) return Base27Words(quads) * kBase27WordBytes;
  const std::size_t quads_of_chunk = layout == CodeLayout::kTwoBit  ? 4
                                     : layout == CodeLayout::kBase3 ? 5
                                     : layout == CodeLayout::kInt8  ? 1
                                                                    : 2;
  return (quads + quads_of_chunk - 1) / quads_of_chunk * kChunkBytes;
}

/// The activations of up to `width` tokens side by side, quantised: value k of token t is
/// scales[k / block * width + t] * codes[(k / 4 * width + t) * 4 + k % 4].
struct Int8Tile {
  const std::int8_t* codes;  // [quads, padded with zeros to a multiple of 16][width][4]
  const float* scales;       // [blocks][width]
  const std::int32_t* sums;  // [blocks][width], of the codes
  std::size_t width;
};

}  // namespace forge::runtime
