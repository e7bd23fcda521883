// SPDX-License-Identifier: Apache-2.0
// The scalar twin: what the other targets have to give, to the bit.
#include <cmath>
#include <cstring>
#include <limits>

#include "base/float16.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

void Quantize(const float* x, std::size_t size, std::size_t block, std::int8_t* codes, float* scales,
              std::int32_t* sums) {
  for (std::size_t start = 0; start < size; start += block, ++scales, ++sums) {
    const std::size_t end = std::min(start + block, size);
    float most = 0;
    for (std::size_t i = start; i < end; ++i) most = std::max(most, std::fabs(x[i]));
    const float inverse = 127.0f / most;
    const bool is_zero = !std::isfinite(inverse);
    *scales = is_zero ? 0.0f : most / 127.0f;
    *sums = 0;
    for (std::size_t i = start; i < end; ++i) {
      codes[i] = is_zero ? std::int8_t{0} : static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
      *sums += codes[i];
    }
  }
}

/// The code of input 4 quad + b of one row, `byte` bytes into each chunk (4 row + b).
int CodeAt(CodeLayout layout, const std::byte* codes, std::size_t quads, std::size_t quad, std::size_t byte) {
  const auto at = [&](std::size_t chunk) { return std::to_integer<int>(codes[chunk * kChunkBytes + byte]); };
  switch (layout) {
    case CodeLayout::kTwoBit:
      return at(quad / 4) >> (2 * (quad % 4)) & 3;
    case CodeLayout::kBase3: {
      const std::size_t fives = quads / 5;
      if (quad >= 5 * fives) return at(fives) >> (2 * (quad - 5 * fives)) & 3;
      int number = at(quad / 5);
      for (std::size_t digit = 0; digit < quad % 5; ++digit) number /= 3;
      return number % 3;
    }
    case CodeLayout::kBase27: {
      const auto [place, digit] = FindBase27Digit(quads, quad, byte % 4);
      const std::size_t row = byte / 4;
      std::uint16_t word;
      std::memcpy(&word, codes + place / 3 * kBase27WordBytes + 4 * (row % 16) + 2 * (row / 16), 2);
      int number = word >> (5 * (place % 3)) & 31;
      for (std::size_t i = 0; i < digit; ++i) number /= 3;
      return number % 3;
    }
    case CodeLayout::kInt4:
    case CodeLayout::kHalves:  // either half
      return at(quad / 2) >> (4 * (quad % 2)) & 15;
    case CodeLayout::kInt8:
      return at(quad);
  }
  return 0;
}

/// The same of a block of panels, with both halves.
int CodeOf(const CodePanels& panels, std::size_t panel, std::size_t block, std::size_t quad,
           std::size_t byte) {
  const std::size_t quads = Quads(panels.BlockLength(block));
  const int code = CodeAt(panels.layout, panels.Codes(panel, block), quads, quad, byte);
  if (panels.layout != CodeLayout::kHalves) return code;
  return 16 * code + CodeAt(panels.layout, panels.LowerCodes(panel, block), quads, quad, byte);
}

float ScaleAt(const std::byte* scales, std::size_t row) {
  std::uint16_t bits;
  std::memcpy(&bits, scales + 2 * row, 2);
  return HalfToFloat(bits);
}

template <CodeLayout kLayout>
void MultiplyRow(const CodePanels& panels, const Int8Tile& x, std::size_t first, std::size_t last, float* y) {
  for (std::size_t panel = first; panel < last; ++panel, y += kCodeRows)
    for (std::size_t row = 0; row < kCodeRows; ++row) {
      y[row] = 0;
      for (std::size_t block = 0; block < panels.blocks(); ++block) {
        const std::size_t length = panels.BlockLength(block);
        const std::int8_t* values = x.codes + block * panels.block;
        std::int32_t dot = -x.sums[block] * (1 << ZeroBits(kLayout));
        for (std::size_t k = 0; k < length; ++k)
          dot += values[k] * CodeOf(panels, panel, block, k / 4, 4 * row + k % 4);
        const float scale = ScaleAt(panels.Scales(panel, block), row) * x.scales[block];
        y[row] = std::fma(static_cast<float>(dot), scale, y[row]);
      }
    }
}

template <CodeLayout kLayout>
void Unpack(const std::byte* codes, std::size_t quads, std::uint8_t* out) {
  for (std::size_t quad = 0; quad < quads; ++quad)
    for (std::size_t byte = 0; byte < kChunkBytes; ++byte)
      *out++ = static_cast<std::uint8_t>(CodeAt(kLayout, codes, quads, quad, byte));
}

void Join(const std::byte* upper, const std::byte* lower, std::size_t quads, std::uint8_t* out) {
  for (std::size_t quad = 0; quad < quads; ++quad)
    for (std::size_t byte = 0; byte < kChunkBytes; ++byte)
      *out++ = static_cast<std::uint8_t>(16 * CodeAt(CodeLayout::kHalves, upper, quads, quad, byte) +
                                         CodeAt(CodeLayout::kHalves, lower, quads, quad, byte));
}

void BoundPanels(const CodePanels& panels, const SpreadTile& tile, std::size_t first, std::size_t last,
                 float* bounds) {
  for (std::size_t panel = first; panel < last; ++panel) {
    float most = -std::numeric_limits<float>::infinity();
    for (std::size_t row = 0; row < kCodeRows; ++row) {
      float y = 0, variance = 0;
      for (std::size_t block = 0; block < panels.blocks(); ++block) {
        const std::byte* codes = panels.Codes(panel, block);
        const std::int8_t* values = tile.x.codes + block * panels.block;
        std::int32_t dot = 0;  // of twice 16 upper + 7.5 - 128
        const std::size_t length = panels.BlockLength(block);
        for (std::size_t k = 0; k < length; ++k)
          dot += values[k] * (32 * CodeAt(CodeLayout::kHalves, codes, Quads(length), k / 4, 4 * row + k % 4) -
                              kTwiceMiddle);
        const float weight_scale = ScaleAt(panels.Scales(panel, block), row);
        y = std::fma(static_cast<float>(dot), weight_scale * (0.5f * tile.x.scales[block]), y);
        variance = std::fma(weight_scale * weight_scale, tile.spreads[block], variance);
      }
      most = std::max(most, std::fma(tile.unit, std::sqrt(variance), y));
    }
    *bounds++ = most;
  }
}

void BoundTokens(const CodePanels& panels, std::size_t panel, const TokenSpreads& spreads, const float* y,
                 float* bounds) {
  std::fill_n(bounds, spreads.tokens, -std::numeric_limits<float>::infinity());
  for (std::size_t row = 0; row < kCodeRows; ++row)
    for (std::size_t token = 0; token < spreads.tokens; ++token) {
      float variance = 0;
      for (std::size_t block = 0; block < panels.blocks(); ++block) {
        const float scale = ScaleAt(panels.Scales(panel, block), row);
        variance = std::fma(scale * scale, spreads.spreads[block * spreads.stride + token], variance);
      }
      const float bound = std::fma(spreads.units[token], std::sqrt(variance), y[token * kCodeRows + row]);
      bounds[token] = std::max(bounds[token], bound);
    }
}

void BoundRows(const std::byte* scales, std::size_t tokens, const float* spreads, const float* y,
               float* bounds) {
  for (std::size_t token = 0; token < tokens; ++token, y += kCodeRows) {
    bounds[token] = -std::numeric_limits<float>::infinity();
    for (std::size_t row = 0; row < kCodeRows; ++row)
      bounds[token] = std::max(bounds[token], std::fma(spreads[token], ScaleAt(scales, row), y[row]));
  }
}

/// code(codes of a block, quad, byte of a chunk) is what an activation is multiplied with.
template <class Code>
void SumTile(const CodeTile& tile, const Code& code) {
  for (std::size_t token = 0; token < tile.tokens; ++token)
    for (std::size_t row = 0; row < kCodeRows; ++row)
      for (std::size_t block = 0; block < tile.blocks; ++block) {
        const std::size_t at = block * tile.x_width + token;
        const std::int8_t* x = tile.x + (block * tile.quads * tile.x_width + token) * 4;
        const std::byte* codes = tile.codes + block * tile.code_stride;
        std::int32_t dot = -tile.x_sums[at] * (1 << tile.zero_bits);
        for (std::size_t quad = 0; quad < tile.quads; ++quad, x += 4 * tile.x_width)
          for (std::size_t b = 0; b < 4; ++b) dot += x[b] * code(codes, quad, 4 * row + b);
        float& y = tile.y[token * kCodeRows + row];
        y = std::fma(static_cast<float>(dot), ScaleAt(tile.weight_scales[block], row) * tile.x_scales[at], y);
      }
}

void Tile(const CodeTile& tile) {
  SumTile(tile, [&](const std::byte* codes, std::size_t quad, std::size_t byte) {
    return CodeAt(CodeLayout::kInt8, codes, tile.quads, quad, byte);
  });
}

void UpperTile(const CodeTile& tile) {
  SumTile(tile, [&](const std::byte* codes, std::size_t quad, std::size_t byte) {
    return 16 * CodeAt(CodeLayout::kHalves, codes, tile.quads, quad, byte);
  });
}

}  // namespace

const CodeKernels& ScalarCodeKernels() {
  static constexpr HalfKernels halves{.multiply_row = MultiplyRow<CodeLayout::kHalves>,
                                      .packed_tile = nullptr,
                                      .join = Join,
                                      .bound_panels = BoundPanels,
                                      .upper_tile = UpperTile,
                                      .bound_tokens = BoundTokens,
                                      .bound_rows = BoundRows};
  static constexpr CodeKernels table{
      .quantize = Quantize,
      .multiply_row = {MultiplyRow<CodeLayout::kTwoBit>, MultiplyRow<CodeLayout::kBase3>,
                       MultiplyRow<CodeLayout::kInt4>, MultiplyRow<CodeLayout::kInt8>,
                       MultiplyRow<CodeLayout::kHalves>, MultiplyRow<CodeLayout::kBase27>},
      .unpack = {Unpack<CodeLayout::kTwoBit>, Unpack<CodeLayout::kBase3>, Unpack<CodeLayout::kInt4>, nullptr,
                 nullptr, Unpack<CodeLayout::kBase27>},
      .tile_tokens = 4,
      .tile = Tile,
      .byte_tile = Tile,
      .packed_tile = {},
      .tables = nullptr,
      .halves = &halves};
  return table;
}

}  // namespace forge::runtime
