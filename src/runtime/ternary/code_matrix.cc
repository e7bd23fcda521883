// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/code_matrix.h"

#include <cstring>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kStoredBlock = 32;            // values of a Q8_0 or Q4_0 block
constexpr std::size_t kActivationBytes = 2u << 20;  // of rows that are multiplied together: they stay in L2
constexpr std::size_t kMostRows =
    192;  // of them; codes are unpacked once for so many, and their sums stay in L1
constexpr std::size_t kBlocksOfTile = 8;

bool IsTernary(CodeLayout layout) { return layout == CodeLayout::kTwoBit || layout == CodeLayout::kBase3; }

void Add(std::byte& byte, int value) { byte = static_cast<std::byte>(std::to_integer<int>(byte) + value); }

/// Puts the code of input k of a block where the layout has it; `byte` is 4 row + k % 4. The place holds 0.
void PutCode(CodeLayout layout, std::byte* codes, std::size_t quads, std::size_t k, std::size_t byte,
             int code) {
  constexpr int kPowersOf3[] = {1, 3, 9, 27, 81};
  const std::size_t quad = k / 4;
  const auto chunk = [&](std::size_t index) -> std::byte& { return codes[index * kChunkBytes + byte]; };
  switch (layout) {
    case CodeLayout::kTwoBit:
      return Add(chunk(quad / 4), code << (2 * (quad % 4)));
    case CodeLayout::kBase3: {
      const std::size_t in_fives = quads / 5 * 5;
      if (quad < in_fives) return Add(chunk(quad / 5), code * kPowersOf3[quad % 5]);
      return Add(chunk(quads / 5), code << (2 * (quad - in_fives)));
    }
    case CodeLayout::kInt4:
      return Add(chunk(quad / 2), code << (4 * (quad % 2)));
    case CodeLayout::kInt8:
      return Add(chunk(quad), code);
  }
}

}  // namespace

CodeMatrix::CodeMatrix(const CodeShape& shape) : out_(shape.out) {
  const std::size_t blocks_of_group = (shape.group + shape.block - 1) / shape.block;
  panels_ = {.layout = shape.layout,
             .data = nullptr,
             .depth = shape.in,
             .block = shape.block,
             .group = blocks_of_group * shape.block};
  panels_.block_bytes = CodeBlockBytes(shape.layout, shape.block);
  panels_.group_bytes = 2 * kCodeRows + blocks_of_group * panels_.block_bytes;
  const std::size_t groups = (shape.in + shape.group - 1) / shape.group, rest = shape.in % shape.block;
  panels_.panel_bytes = groups * panels_.group_bytes;
  if (rest != 0) panels_.panel_bytes -= panels_.block_bytes - CodeBlockBytes(shape.layout, rest);
}

CodeMatrix::CodeMatrix(CodeLayout layout, std::size_t out, std::size_t in, std::size_t block,
                       std::size_t group, WeightArena& arena)
    : CodeMatrix({layout, out, in, block, group}) {
  const std::shared_ptr<std::byte> memory = arena.Allocate(bytes());
  writable_ = memory.get();
  memory_ = memory;
  panels_.data = writable_;
}

bool CodeMatrix::CanHold(const CodeShape& shape) {
  constexpr std::size_t kLimit = std::size_t{1} << 31;
  const auto& [layout, out, in, block, group] = shape;
  if (out == 0 || in == 0 || out > kLimit || in > kLimit) return false;
  if (!IsTernary(layout)) return block == kStoredBlock && group == kStoredBlock && in % kStoredBlock == 0;
  if (group >= in) return block == kMostBlock && group == (in + block - 1) / block * block;
  return CanHoldGroup(in, group) && block == TernaryBlock(in, group);
}

std::size_t CodeMatrix::BytesOf(const CodeShape& shape) { return CodeMatrix(shape).bytes(); }

CodeMatrix CodeMatrix::View(const CodeShape& shape, std::shared_ptr<const std::byte> panels) {
  FORGE_CHECK(CanHold(shape) && reinterpret_cast<std::uintptr_t>(panels.get()) % 64 == 0);
  CodeMatrix matrix(shape);
  matrix.memory_ = std::move(panels);
  matrix.panels_.data = matrix.memory_.get();
  return matrix;
}

std::size_t CodeMatrix::TernaryBlock(std::size_t in, std::size_t group) {
  if (group >= in) return kMostBlock;
  return group % 256 == 0 ? 256 : group % 128 == 0 ? 128 : 64;
}

CodeLayout CodeMatrix::TernaryLayout(std::size_t in, std::size_t group, std::optional<CodeLayout> wanted) {
  const std::size_t block = TernaryBlock(in, group);
  const bool is_smaller =
      CodeBlockBytes(CodeLayout::kBase3, block) < CodeBlockBytes(CodeLayout::kTwoBit, block);
  const bool is_wanted = wanted ? *wanted == CodeLayout::kBase3 : HasFastBase3();
  return is_smaller && is_wanted ? CodeLayout::kBase3 : CodeLayout::kTwoBit;
}

CodeMatrix CodeMatrix::PackTernary(std::span<const std::int8_t> codes, std::span<const float> scales,
                                   std::size_t out, std::size_t in, std::size_t group, CodeLayout layout,
                                   WeightArena& arena) {
  FORGE_CHECK(IsTernary(layout) && in > 0 &&
              (group == in || (group > 0 && group % 64 == 0 && in % group == 0)));
  const std::size_t groups = in / group;
  FORGE_CHECK(codes.size() == out * in && scales.size() == out * groups);
  CodeMatrix matrix(layout, out, in, TernaryBlock(in, group), group, arena);
  ParallelFor(matrix.panels(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin * kCodeRows; row < std::min(out, end * kCodeRows); ++row)
      matrix.PutTernaryRow(row, codes.data() + row * in, scales.data() + row * groups);
  });
  return matrix;
}

void CodeMatrix::PutTernaryRow(std::size_t row, const std::int8_t* codes, const float* scales) {
  const std::size_t panel = row / kCodeRows, lane = row % kCodeRows;
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::size_t length = panels_.BlockLength(block), start = block * panels_.block;
    const float scale = scales[start / panels_.group];
    FORGE_CHECK(RoundToHalf(scale) == scale);
    const std::uint16_t bits = FloatToHalf(scale);
    std::memcpy(Scales(panel, block) + 2 * lane, &bits, 2);
    std::byte* target = Codes(panel, block);
    for (std::size_t k = 0; k < length; ++k)
      PutCode(panels_.layout, target, Quads(length), k, 4 * lane + k % 4, codes[start + k] + 1);
  }
}

CodeMatrix CodeMatrix::Empty(io::BlockType stored, std::size_t out, std::size_t in, WeightArena& arena) {
  FORGE_CHECK((stored == io::BlockType::kQ8_0 || stored == io::BlockType::kQ4_0) && in % kStoredBlock == 0);
  return CodeMatrix(stored == io::BlockType::kQ8_0 ? CodeLayout::kInt8 : CodeLayout::kInt4, out, in,
                    kStoredBlock, kStoredBlock, arena);
}

void CodeMatrix::PutRows(std::size_t first, std::size_t count, const RowBytes& row) {
  FORGE_CHECK(first + count <= out_ && !IsTernary(panels_.layout) && writable_ != nullptr);
  const std::size_t first_panel = first / kCodeRows;
  const std::size_t panels = (first + count + kCodeRows - 1) / kCodeRows - first_panel;
  ParallelFor(panels, 2, [&](std::size_t begin, std::size_t end) {
    const std::size_t last = std::min(first + count, (first_panel + end) * kCodeRows);
    for (std::size_t r = std::max(first, (first_panel + begin) * kCodeRows); r < last; ++r)
      PutBlockRow(r, row(r - first));
  });
}

void CodeMatrix::PutBlockRow(std::size_t row, std::span<const std::byte> bytes) {
  const std::size_t panel = row / kCodeRows, lane = row % kCodeRows;
  const bool is_int8 = panels_.layout == CodeLayout::kInt8;
  const std::size_t stored_bytes = 2 + (is_int8 ? kStoredBlock : kStoredBlock / 2);
  FORGE_CHECK(bytes.size() == panels_.blocks() * stored_bytes);
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::byte* source = bytes.data() + block * stored_bytes;
    std::memcpy(Scales(panel, block) + 2 * lane, source, 2);
    source += 2;
    std::byte* target = Codes(panel, block);
    for (std::size_t k = 0; k < kStoredBlock; ++k) {
      // Q4_0 has value k in the low half of byte k, value 16 + k in its high half.
      const int code = is_int8 ? (std::to_integer<int>(source[k]) ^ 128)
                               : std::to_integer<int>(source[k % 16]) >> (4 * (k / 16)) & 15;
      PutCode(panels_.layout, target, kStoredBlock / 4, k, 4 * lane + k % 4, code);
    }
  }
}

void CodeMatrix::Row(std::size_t out_feature, float* row) const {
  const std::size_t panel = out_feature / kCodeRows, lane = out_feature % kCodeRows;
  const auto layout = static_cast<std::size_t>(panels_.layout);
  thread_local std::vector<std::uint8_t> unpacked;
  unpacked.resize((Quads(panels_.block) + 4) * kChunkBytes);
  for (std::size_t block = 0; block < panels_.blocks(); ++block) {
    const std::size_t length = panels_.BlockLength(block);
    const auto* codes = reinterpret_cast<const std::uint8_t*>(panels_.Codes(panel, block));
    if (panels_.layout != CodeLayout::kInt8) {
      ChosenCodeKernels().unpack[layout](panels_.Codes(panel, block), Quads(length), unpacked.data());
      codes = unpacked.data();
    }
    std::uint16_t bits;
    std::memcpy(&bits, panels_.Scales(panel, block) + 2 * lane, 2);
    const float scale = HalfToFloat(bits);
    for (std::size_t k = 0; k < length; ++k)
      row[block * panels_.block + k] =
          scale *
          static_cast<float>(codes[k / 4 * kChunkBytes + 4 * lane + k % 4] - (1 << ZeroBits(panels_.layout)));
  }
}

void CodeMatrix::SumRow(std::size_t first_panel, std::size_t last_panel, const Int8Tile& x,
                        float* sums) const {
  ChosenCodeKernels().multiply_row[static_cast<std::size_t>(panels_.layout)](panels_, x, first_panel,
                                                                             last_panel, sums);
}

void CodeMatrix::SumTiles(std::size_t panel, const Int8Rows& x, std::size_t first_tile, std::size_t last_tile,
                          float* sums) const {
  const CodeKernels& kernels = ChosenCodeKernels();
  const auto layout = static_cast<std::size_t>(panels_.layout);
  const auto packed_tile = x.tiles() == 1 ? kernels.packed_tile[layout] : nullptr;
  const auto unpack = packed_tile != nullptr ? nullptr : kernels.unpack[layout];
  const auto multiply = packed_tile != nullptr                ? packed_tile
                        : panels_.layout == CodeLayout::kInt8 ? kernels.byte_tile
                                                              : kernels.tile;
  thread_local std::vector<std::uint8_t> unpacked;
  unpacked.resize((kMostBlock / 4 + 4) * kChunkBytes);
  std::fill_n(sums, (last_tile - first_tile) * x.width() * kCodeRows, 0.0f);
  const std::size_t blocks = panels_.blocks(), whole_blocks = panels_.depth / panels_.block;
  const std::size_t blocks_of_group = panels_.group / panels_.block;
  for (std::size_t block = 0, count; block < blocks; block += count) {
    const std::size_t quads = Quads(panels_.BlockLength(block));
    count = block < whole_blocks ? std::min({kMostBlock / panels_.block, kBlocksOfTile, whole_blocks - block})
                                 : 1;
    // Packed codes of several blocks are equally far apart inside a group only, or if each is a group.
    if (blocks_of_group > 1 && unpack == nullptr)
      count = std::min(count, blocks_of_group - block % blocks_of_group);
    CodeTile tile{.codes = panels_.Codes(panel, block),
                  .code_stride =
                      static_cast<std::size_t>(panels_.Codes(panel, block + 1) - panels_.Codes(panel, block)),
                  .weight_scales = {},
                  .blocks = count,
                  .quads = quads,
                  .zero_bits = ZeroBits(panels_.layout),
                  .tokens = 0,
                  .x = nullptr,
                  .x_scales = nullptr,
                  .x_sums = nullptr,
                  .x_width = x.width(),
                  .y = nullptr};
    for (std::size_t b = 0; b < count; ++b) {
      tile.weight_scales[b] = panels_.Scales(panel, block + b);
      if (unpack != nullptr)
        unpack(panels_.Codes(panel, block + b), quads, unpacked.data() + b * quads * kChunkBytes);
    }
    if (unpack != nullptr) {
      tile.codes = reinterpret_cast<const std::byte*>(unpacked.data());
      tile.code_stride = quads * kChunkBytes;
    }
    for (std::size_t i = first_tile; i < last_tile; ++i) {
      const Int8Tile tokens = x.Tile(i);
      tile.tokens = std::min(x.width(), x.rows() - i * x.width());
      tile.x = tokens.codes + block * panels_.block * x.width();
      tile.x_scales = tokens.scales + block * x.width();
      tile.x_sums = tokens.sums + block * x.width();
      tile.y = sums + (i - first_tile) * x.width() * kCodeRows;
      multiply(tile);
    }
  }
}

void CodeMatrix::ForEachPiece(const Int8Rows& x, std::size_t panels, const Piece& piece) const {
  FORGE_CHECK(x.depth() == in() && x.block() == block());
  // Products: some 2 us, above the cost of a barrier; and of a piece, which has to wait for its first bytes.
  constexpr std::size_t kWorthSharing = 1 << 18, kPiece = 1 << 19;
  ThreadPool& pool = ThreadPool::Global();
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  const std::size_t work = x.rows() * in() * out_;
  const std::size_t pieces =
      work < kWorthSharing ? 1 : std::min(panels, std::clamp(work / kPiece, threads, threads * 8));
  const std::size_t tiles_together =
      std::max<std::size_t>(1, std::min(kMostRows, kActivationBytes / in()) / x.width());
  pool.Run(pieces, [&](std::size_t i) {
    const std::size_t first = panels * i / pieces, last = panels * (i + 1) / pieces;
    for (std::size_t tile = 0; tile < x.tiles(); tile += tiles_together)
      piece(first, last, tile, std::min(x.tiles(), tile + tiles_together));
  });
}

void CodeMatrix::Multiply(const Int8Rows& x, std::span<const float> bias, float* y) const {
  ForEachPiece(
      x, panels(),
      [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_tile, std::size_t last_tile) {
        thread_local std::vector<float> sums;
        const std::size_t first_row = first_tile * x.width(),
                          rows = std::min(x.rows(), last_tile * x.width()) - first_row;
        // One token goes through all panels in one call; the sums of many tokens fill a cache with one panel.
        const std::size_t together = x.rows() == 1 ? last_panel - first_panel : 1;
        sums.resize((last_tile - first_tile) * x.width() * together * kCodeRows);
        for (std::size_t panel = first_panel; panel < last_panel; panel += together) {
          if (x.rows() == 1)
            SumRow(first_panel, last_panel, x.Tile(0), sums.data());
          else
            SumTiles(panel, x, first_tile, last_tile, sums.data());
          const std::size_t column = panel * kCodeRows,
                            columns = std::min(together * kCodeRows, out_ - column);
          for (std::size_t row = 0; row < rows; ++row) {
            const float* from = sums.data() + row * kCodeRows;
            float* to = y + (first_row + row) * out_ + column;
            if (bias.empty())
              std::copy_n(from, columns, to);
            else
              for (std::size_t c = 0; c < columns; ++c) to[c] = from[c] + bias[column + c];
          }
        }
      });
}

void CodeMatrix::MultiplyGated(const Int8Rows& x, float* y) const {
  FORGE_CHECK(CanGate());
  const std::size_t half = panels() / 2, width = out_ / 2;
  ForEachPiece(
      x, half,
      [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_tile, std::size_t last_tile) {
        thread_local std::vector<float> gates, ups;
        const std::size_t first_row = first_tile * x.width(),
                          rows = std::min(x.rows(), last_tile * x.width()) - first_row;
        const std::size_t together = x.rows() == 1 ? last_panel - first_panel : 1;
        gates.resize((last_tile - first_tile) * x.width() * together * kCodeRows);
        ups.resize(gates.size());
        for (std::size_t panel = first_panel; panel < last_panel; panel += together) {
          if (x.rows() == 1) {
            SumRow(panel, panel + together, x.Tile(0), gates.data());
            SumRow(half + panel, half + panel + together, x.Tile(0), ups.data());
          } else {
            SumTiles(panel, x, first_tile, last_tile, gates.data());
            SumTiles(half + panel, x, first_tile, last_tile, ups.data());
          }
          Kernels().silu_multiply(gates.data(), ups.data(), rows * together * kCodeRows);
          for (std::size_t row = 0; row < rows; ++row)
            std::copy_n(gates.data() + row * kCodeRows, together * kCodeRows,
                        y + (first_row + row) * width + panel * kCodeRows);
        }
      });
}

}  // namespace forge::runtime
