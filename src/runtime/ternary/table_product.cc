// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/table_product.h"

#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/float16.h"

namespace forge::runtime {
namespace {

struct Scratch {
  std::vector<std::uint16_t> places;  // [panels][kPlacesOfPanel]
  std::vector<float> weight_scales;   // [rows]
};

}  // namespace

void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
                      std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                      std::size_t last_tile, float* sums) {
  FORGE_CHECK(x.width() == kTableTokens && panels.block <= kMostBlock);
  thread_local Scratch scratch;
  const std::size_t held = last_panel - first_panel, rows = held * kCodeRows;
  scratch.places.resize(held * kPlacesOfPanel);
  scratch.weight_scales.resize(rows);
  const std::size_t stride = (last_tile - first_tile) * kCodeRows * kTableTokens;
  for (std::size_t block = 0; block < panels.blocks(); ++block) {
    const std::size_t quads = Quads(panels.BlockLength(block));
    for (std::size_t p = 0; p < held; ++p) {
      kernels.places[static_cast<std::size_t>(panels.layout)](panels.Codes(first_panel + p, block), quads, p,
                                                              held, scratch.places.data());
      std::uint16_t halves[kCodeRows];
      std::memcpy(halves, panels.Scales(first_panel + p, block), sizeof halves);
      for (std::size_t r = 0; r < kCodeRows; ++r)
        scratch.weight_scales[p * kCodeRows + r] = HalfToFloat(halves[r]);
    }
    const std::size_t x_block = block % x.blocks();  // the planes of a matrix multiply the same activations
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Int8Tile tokens = x.Tile(tile);
      kernels.add_block({.places = scratch.places.data(),
                         .panels = held,
                         .quads = quads,
                         .tokens = std::min(kTableTokens, x.rows() - tile * kTableTokens),
                         .x = tokens.codes + x_block * panels.block * kTableTokens,
                         .weight_scales = scratch.weight_scales.data(),
                         .x_scales = tokens.scales + x_block * kTableTokens,
                         .x_sums = tokens.sums + x_block * kTableTokens,
                         .y = sums + (tile - first_tile) * kCodeRows * kTableTokens,
                         .y_stride = stride,
                         .is_first = block == 0});
    }
  }
  if (kernels.turn != nullptr)
    for (std::size_t i = 0; i < held * (last_tile - first_tile); ++i)
      kernels.turn(sums + i * kCodeRows * kTableTokens);
}

}  // namespace forge::runtime
