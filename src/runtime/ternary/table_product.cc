// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/table_product.h"

#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/float16.h"

namespace forge::runtime {
namespace {

struct Scratch {
  std::vector<std::uint16_t> offsets;  // [chunks][rows][4]
  std::vector<float> weight_scales;    // [rows]
  std::vector<std::int16_t> dots;      // [rows][16]
};

}  // namespace

void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
                      std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                      std::size_t last_tile, float* sums) {
  FORGE_CHECK(x.width() == kTableTokens && panels.block <= kMostBlock);
  thread_local Scratch scratch;
  const std::size_t rows = (last_panel - first_panel) * kCodeRows;
  scratch.offsets.resize(kMostBlock / kChunkInputs * rows * 4);
  scratch.weight_scales.resize(rows);
  scratch.dots.resize(rows * kTableTokens);
  std::fill_n(sums, (last_tile - first_tile) * rows * kTableTokens, 0.0f);
  for (std::size_t block = 0; block < panels.blocks(); ++block) {
    const std::size_t quads = Quads(panels.BlockLength(block));
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      const std::size_t row = (panel - first_panel) * kCodeRows;
      kernels.offsets[static_cast<std::size_t>(panels.layout)](panels.Codes(panel, block), quads, rows * 4,
                                                               scratch.offsets.data() + row * 4);
      std::uint16_t halves[kCodeRows];
      std::memcpy(halves, panels.Scales(panel, block), sizeof halves);
      for (std::size_t r = 0; r < kCodeRows; ++r) scratch.weight_scales[row + r] = HalfToFloat(halves[r]);
    }
    const std::size_t x_block = block % x.blocks();  // the planes of a matrix multiply the same activations
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Int8Tile tokens = x.Tile(tile);
      kernels.add_block({.offsets = scratch.offsets.data(),
                         .chunks = (quads + 3) / 4,
                         .rows = rows,
                         .x = tokens.codes + x_block * panels.block * kTableTokens,
                         .weight_scales = scratch.weight_scales.data(),
                         .x_scales = tokens.scales + x_block * kTableTokens,
                         .dots = scratch.dots.data(),
                         .y = sums + (tile - first_tile) * rows * kTableTokens});
    }
  }
}

}  // namespace forge::runtime
