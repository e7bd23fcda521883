// SPDX-License-Identifier: Apache-2.0
// The products of a CodeMatrix: which kernel does what piece, on the threads of the pool.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/thread_pool.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/ternary/code_kernels.h"
#include "runtime/ternary/code_matrix.h"
#include "runtime/ternary/table_product.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kActivationBytes = 2u << 20;  // of rows that are multiplied together: they stay in L2
constexpr std::size_t kMostRows =
    516;  // of them: codes are unpacked once for so many, which pays more than sums that stay in L1

/// Room for at least `size` values, which are not set: pieces of a product differ, and what a vector gains is
/// set to zero.
void Grow(std::vector<float>& room, std::size_t size) {
  if (room.size() < size) room.resize(size);
}

/// One token's activations once for each plane, as the planes stand.
struct Repeated {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  Int8Tile Twice(const Int8Rows& rows) {
    const Int8Tile x = rows.Tile(0);
    codes.resize(2 * rows.depth());
    scales.resize(2 * rows.blocks());
    sums.resize(2 * rows.blocks());
    for (std::size_t plane = 0; plane < 2; ++plane) {
      std::copy_n(x.codes, rows.depth(), codes.data() + plane * rows.depth());
      std::copy_n(x.scales, rows.blocks(), scales.data() + plane * rows.blocks());
      std::copy_n(x.sums, rows.blocks(), sums.data() + plane * rows.blocks());
    }
    return {codes.data(), scales.data(), sums.data(), 1};
  }
};

/// Pieces of tiles for the threads, if the products go through tables.
std::size_t TilePieces(CodeLayout layout, const Int8Rows& x) {
  const TableKernels& kernels = *ChosenCodeKernels().tables;
  return DivideUp(x.tiles(), layout == kernels.direct_layout ? kernels.direct_tiles : kernels.piece_tiles);
}

/// Pieces of panels for the threads, if the products go through tables; 0: they do not. A piece may have
/// several ranges of so many panels, of which the sums of one tile share the second cache.
std::size_t TablePieces(const CodePanels& codes, const Int8Rows& x, std::size_t panels,
                        std::size_t ranges = 1) {
  const TableKernels* kernels = ChosenCodeKernels().tables;
  if (!IsTernary(codes.layout) || kernels == nullptr || x.width() != kTableTokens) return 0;
  const auto threads = static_cast<std::size_t>(ThreadPool::Global().num_threads());
  const std::size_t of_tiles = TilePieces(codes.layout, x);
  const bool is_direct = codes.layout == kernels->direct_layout;
  std::size_t pieces = is_direct && x.tiles() == 1 ? DivideUp(ranges * panels, kernels->direct_panels)
                                                   : DivideUp(panels, kernels->piece_panels);
  // All threads end at the same time if they have as many pieces.
  if (of_tiles < threads) pieces = DivideUp(pieces, threads) * threads;
  return is_direct || panels / pieces >= kFewestTablePanels ? std::min(pieces, panels) : 0;
}

/// Where blocks of so many panels end; the last ends with all panels.
struct BlockEnds {
  std::size_t panels, block;

  std::size_t Before(std::size_t panel) const { return panel == panels ? panels : panel / block * block; }
  std::size_t After(std::size_t panel) const { return std::min(panels, DivideUp(panel, block) * block); }
};

/// Rows [count, columns] of sums of neighbouring panels to where they belong in a product.
void CopyRows(const float* sums, std::size_t count, std::size_t columns, float* y, std::size_t stride) {
  if (columns == kCodeRows)
    for (std::size_t row = 0; row < count; ++row)
      std::memcpy(y + row * stride, sums + row * kCodeRows,
                  kCodeRows * sizeof(float));  // of known size: no call
  else
    for (std::size_t row = 0; row < count; ++row)
      std::copy_n(sums + row * kCodeRows, columns, y + row * stride);
}

}  // namespace

void CodeMatrix::SumRow(std::size_t first_panel, std::size_t last_panel, const Int8Rows& rows,
                        float* sums) const {
  thread_local Repeated repeated;
  const Int8Tile x = planes_ == 1 ? rows.Tile(0) : repeated.Twice(rows);
  ChosenCodeKernels().multiply_row[static_cast<std::size_t>(panels_.layout)](panels_, x, first_panel,
                                                                             last_panel, sums);
}

void CodeMatrix::Unpack(std::size_t panel, std::size_t block, std::uint8_t* out) const {
  const std::size_t quads = Quads(panels_.BlockLength(block));
  const std::byte* codes = panels_.Codes(panel, block);
  if (panels_.layout == CodeLayout::kHalves)
    ChosenCodeKernels().halves->join(codes, panels_.LowerCodes(panel, block), quads, out);
  else
    ChosenCodeKernels().unpack[static_cast<std::size_t>(panels_.layout)](codes, quads, out);
}

void CodeMatrix::SumTiles(std::size_t panel, const Int8Rows& x, std::size_t first_tile, std::size_t last_tile,
                          float* sums) const {
  const CodeKernels& kernels = ChosenCodeKernels();
  const auto layout = static_cast<std::size_t>(panels_.layout);
  // Up to two tiles: codes are unpacked faster than they go through the first cache.
  const bool is_few = x.rows() <= kernels.tile_tokens * 2;
  const auto packed_tile = is_few ? kernels.packed_tile[layout] : nullptr;
  const bool unpacks = packed_tile == nullptr && panels_.layout != CodeLayout::kInt8;
  const auto multiply = packed_tile != nullptr          ? packed_tile
                        : ZeroBits(panels_.layout) == 7 ? kernels.byte_tile
                                                        : kernels.tile;
  thread_local std::vector<std::uint8_t> unpacked;
  unpacked.resize((kMostBlock / 4 + 4) * kChunkBytes);
  std::fill_n(sums, (last_tile - first_tile) * x.width() * kCodeRows, 0.0f);
  const std::size_t blocks = panels_.blocks(), whole_blocks = panels_.depth / panels_.block;
  const std::size_t blocks_of_group = panels_.group / panels_.block;
  for (std::size_t block = 0, count; block < blocks; block += count) {
    const std::size_t x_block = block % x.blocks();  // the planes multiply the same activations
    const std::size_t fit = unpacks ? kMostBlock / panels_.block : kBlocksOfTile;
    count = block < whole_blocks ? std::min({fit, kBlocksOfTile, whole_blocks - block}) : 1;
    count = std::min(count, x.blocks() - x_block);
    // Packed codes of several blocks are equally far apart inside a group only, or if each is a group.
    if (blocks_of_group > 1 && !unpacks) count = std::min(count, blocks_of_group - block % blocks_of_group);
    CodeTile tile(panels_, panel, block, count);
    if (unpacks) {
      for (std::size_t b = 0; b < count; ++b)
        Unpack(panel, block + b, unpacked.data() + b * tile.quads * kChunkBytes);
      tile.codes = reinterpret_cast<const std::byte*>(unpacked.data());
      tile.code_stride = tile.quads * kChunkBytes;
    }
    for (std::size_t i = first_tile; i < last_tile; ++i) {
      const Int8Tile tokens = x.Tile(i);
      const std::size_t held = std::min(x.width(), x.rows() - i * x.width());
      for (std::size_t first = 0; first < held; first += kernels.tile_tokens) {
        tile.SetTokens(tokens, first, std::min(kernels.tile_tokens, held - first), x_block, panels_.block);
        tile.y = sums + ((i - first_tile) * x.width() + first) * kCodeRows;
        multiply(tile);
      }
    }
  }
}

void CodeMatrix::SumPanels(std::size_t first_panel, std::size_t last_panel, const Int8Rows& x,
                           std::size_t first_tile, std::size_t last_tile, std::vector<float>& sums) const {
  Grow(sums, (last_tile - first_tile) * (last_panel - first_panel) * kCodeRows * kTableTokens);
  SumThroughTables(*ChosenCodeKernels().tables, panels_, {first_panel, last_panel - first_panel}, x,
                   first_tile, last_tile, sums.data());
}

void CodeMatrix::GatePanels(std::size_t first_panel, std::size_t last_panel, const Int8Rows& x,
                            std::size_t first_tile, std::size_t last_tile, std::vector<float>& gates) const {
  const std::size_t held = (last_tile - first_tile) * x.width(),
                    rows = std::min(x.rows() - first_tile * x.width(), held),
                    count = last_panel - first_panel, half = count * held * kCodeRows;
  Grow(gates, 2 * half);
  SumThroughTables(*ChosenCodeKernels().tables, panels_, {first_panel, count, 2, panels() / 2}, x, first_tile,
                   last_tile, gates.data());
  for (std::size_t at = 0; at < half; at += held * kCodeRows)
    Kernels().silu_multiply(gates.data() + at, gates.data() + half + at, rows * kCodeRows);
}

void CodeMatrix::ForEachPiece(const Int8Rows& x, std::size_t panels, std::size_t table_pieces,
                              const Piece& piece, std::size_t unit) const {
  FORGE_CHECK(x.depth() == in() && x.block() == block() && x.is_rotated() == panels_.is_rotated);
  // Tables that take codes as they lie need rows in tiles of their own.
  FORGE_CHECK((x.layout() == CodeLayout::kBase27) == (panels_.layout == CodeLayout::kBase27));
  // Products: some 2 us, above the cost of a barrier; and of a piece, which has to wait for its first bytes.
  constexpr std::size_t kWorthSharing = 1 << 18, kPiece = 1 << 19;
  ThreadPool& pool = ThreadPool::Global();
  const auto threads = static_cast<std::size_t>(pool.num_threads());
  if (table_pieces != 0) {
    const std::size_t tile_pieces = TilePieces(panels_.layout, x), units = DivideUp(panels, unit);
    const auto panel = [&](std::size_t p) { return std::min(panels, units * p / table_pieces * unit); };
    return pool.Run(table_pieces * tile_pieces, [&](std::size_t i) {
      const std::size_t p = i / tile_pieces, t = i % tile_pieces;
      if (panel(p) == panel(p + 1)) return;
      piece(panel(p), panel(p + 1), x.tiles() * t / tile_pieces, x.tiles() * (t + 1) / tile_pieces);
    });
  }
  const std::size_t work = x.rows() * in() * out_;
  // Each piece of one token builds the tables of all inputs again.
  const std::size_t most_pieces = panels_.layout == CodeLayout::kBase27 ? threads : threads * 8;
  const std::size_t pieces =
      work < kWorthSharing ? 1 : std::min(panels, std::clamp(work / kPiece, threads, most_pieces));
  const std::size_t tiles_together =
      std::max<std::size_t>(1, std::min(kMostRows, kActivationBytes / in()) / x.width());
  pool.Run(pieces, [&](std::size_t i) {
    const std::size_t first = panels * i / pieces, last = panels * (i + 1) / pieces;
    for (std::size_t tile = 0; tile < x.tiles(); tile += tiles_together)
      piece(first, last, tile, std::min(x.tiles(), tile + tiles_together));
  });
}

void CodeMatrix::Multiply(const Int8Rows& x, std::span<const float> bias, float* y) const {
  const std::size_t table_pieces = TablePieces(panels_, x, panels());
  ForEachPiece(
      x, panels(), table_pieces,
      [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_tile, std::size_t last_tile) {
        thread_local std::vector<float> sums;
        const std::size_t first_row = first_tile * x.width(), held = (last_tile - first_tile) * x.width(),
                          rows = std::min(x.rows() - first_row, held);
        // One token goes through all panels in one call; the sums of many tokens fill a cache with one panel.
        const std::size_t together = x.rows() == 1 ? last_panel - first_panel : 1;
        if (table_pieces != 0)
          SumPanels(first_panel, last_panel, x, first_tile, last_tile, sums);
        else
          Grow(sums, held * together * kCodeRows);
        for (std::size_t panel = first_panel; panel < last_panel; panel += together) {
          const float* from = sums.data();
          if (x.rows() == 1)
            SumRow(first_panel, last_panel, x, sums.data());
          else if (table_pieces != 0)
            from += (panel - first_panel) * held * kCodeRows;
          else
            SumTiles(panel, x, first_tile, last_tile, sums.data());
          const std::size_t column = panel * kCodeRows,
                            columns = std::min(together * kCodeRows, out_ - column);
          float* to = y + first_row * out_ + column;
          CopyRows(from, rows, columns, to, out_);
          if (bias.empty()) continue;
          for (std::size_t row = 0; row < rows; ++row)
            for (std::size_t c = 0; c < columns; ++c) to[row * out_ + c] += bias[column + c];
        }
      });
}

void CodeMatrix::MultiplyGated(const Int8Rows& x, float* y) const {
  FORGE_CHECK(CanGate());
  const std::size_t half = panels() / 2, width = out_ / 2;
  const std::size_t table_pieces = TablePieces(panels_, x, half, 2);
  ForEachPiece(
      x, half, table_pieces,
      [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_tile, std::size_t last_tile) {
        thread_local std::vector<float> gates, ups;
        const std::size_t first_row = first_tile * x.width(), held = (last_tile - first_tile) * x.width(),
                          rows = std::min(x.rows() - first_row, held);
        const std::size_t together = x.rows() == 1 ? last_panel - first_panel : 1;
        if (table_pieces != 0) {
          GatePanels(first_panel, last_panel, x, first_tile, last_tile, gates);
        } else {
          Grow(gates, held * together * kCodeRows);
          Grow(ups, held * together * kCodeRows);
        }
        for (std::size_t panel = first_panel; panel < last_panel; panel += together) {
          const std::size_t at = table_pieces == 0 ? 0 : (panel - first_panel) * held * kCodeRows;
          if (x.rows() == 1) {
            SumRow(panel, panel + together, x, gates.data());
            SumRow(half + panel, half + panel + together, x, ups.data());
          } else if (table_pieces == 0) {
            SumTiles(panel, x, first_tile, last_tile, gates.data());
            SumTiles(half + panel, x, first_tile, last_tile, ups.data());
          }
          if (table_pieces == 0)
            Kernels().silu_multiply(gates.data(), ups.data(), rows * together * kCodeRows);
          CopyRows(gates.data() + at, rows, together * kCodeRows, y + first_row * width + panel * kCodeRows,
                   width);
        }
      });
}

bool CodeMatrix::CanGateInto(const Int8Rows& x, const Int8Rows& y) const {
  return CanGate() && TablePieces(panels_, x, panels() / 2, 2) != 0 && y.rows() == x.rows() &&
         y.width() == x.width() && y.depth() == out_ / 2 && y.block() % kCodeRows == 0;
}

void CodeMatrix::MultiplyGated(const Int8Rows& x, Int8Rows& y) const {
  FORGE_CHECK(CanGateInto(x, y));
  const std::size_t half = panels() / 2, panels_of_block = y.block() / kCodeRows;
  const std::size_t pieces = TablePieces(panels_, x, half, 2);
  // Pieces of few tokens, of which each thread has one or two, are of one size, whether or not they end with
  // a block of y; what pieces have of a block that they share waits for the rest of it.
  const std::size_t unit = x.tiles() == 1 ? 1 : panels_of_block;
  const BlockEnds ends{half, panels_of_block};
  thread_local std::vector<float> waiting;  // [half][tokens][kCodeRows], only of those blocks
  if (unit == 1) Grow(waiting, half * x.width() * kCodeRows);
  float* const shared = waiting.data();  // of this thread
  ForEachPiece(
      x, half, pieces,
      [&](std::size_t first_panel, std::size_t last_panel, std::size_t first_tile, std::size_t last_tile) {
        thread_local std::vector<float> gates;
        GatePanels(first_panel, last_panel, x, first_tile, last_tile, gates);
        const std::size_t held = (last_tile - first_tile) * x.width(), values = held * kCodeRows,
                          first = ends.After(first_panel), last = std::max(first, ends.Before(last_panel));
        const auto wait = [&](std::size_t begin, std::size_t end) {
          if (begin < end)
            std::copy_n(gates.data() + (begin - first_panel) * values, (end - begin) * values,
                        shared + begin * values);
        };
        wait(first_panel, std::min(first, last_panel));
        if (first < last)
          y.QuantizePanels(first_tile * x.width(), std::min(x.rows(), last_tile * x.width()),
                           first / panels_of_block, last - first,
                           gates.data() + (first - first_panel) * values, held);
        wait(std::max(first_panel, last), last_panel);
      },
      unit);
  if (unit != 1) return;
  for (std::size_t p = 1, done = 0; p < pieces; ++p) {
    const std::size_t end = half * p / pieces, first = ends.Before(end), last = ends.After(end);
    if (first == last || last <= done) continue;
    y.QuantizePanels(0, x.rows(), first / panels_of_block, last - first,
                     shared + first * x.width() * kCodeRows, x.width());
    done = last;
  }
}

}  // namespace forge::runtime
