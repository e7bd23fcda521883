// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/table_product.h"

#include <vector>

#include "base/check.h"

namespace forge::runtime {
namespace {

/// Blocks whose places are found before they are used: codes are then read as they lie in memory, some 4 kB
/// of a panel at a time, and places stay in the second cache.
constexpr std::size_t kBlocksTogether = 6;

/// Of blocks [first_block, first_block + kBlocksTogether) of neighbouring panels.
struct Prepared {
  std::vector<std::byte> places;     // [blocks][panels][kPlaceBytes]
  std::vector<float> weight_scales;  // [blocks][rows]

  void Prepare(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
               std::size_t count, std::size_t first_block) {
    const auto to_places = kernels.places[static_cast<std::size_t>(panels.layout)];
    places.resize(to_places != nullptr ? kBlocksTogether * count * kPlaceBytes : 0);
    weight_scales.resize(kBlocksTogether * count * kCodeRows);
    const std::size_t blocks = std::min(kBlocksTogether, panels.blocks() - first_block);
    for (std::size_t p = 0; p < count; ++p)
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t panel = first_panel + p, block = first_block + b;
        if (to_places != nullptr)
          to_places(panels.Codes(panel, block), Quads(panels.BlockLength(block)), p, count,
                    places.data() + b * count * kPlaceBytes);
        kernels.widen_scales(panels.Scales(panel, block), weight_scales.data() + (b * count + p) * kCodeRows);
      }
  }
};

}  // namespace

void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
                      std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                      std::size_t last_tile, float* sums) {
  FORGE_CHECK(x.width() == kTableTokens && panels.block <= kMostBlock);
  thread_local Prepared prepared;
  const std::size_t held = last_panel - first_panel;
  const std::size_t stride = (last_tile - first_tile) * kCodeRows * kTableTokens;
  for (std::size_t block = 0; block < panels.blocks(); ++block) {
    const std::size_t b = block % kBlocksTogether;
    if (b == 0) prepared.Prepare(kernels, panels, first_panel, held, block);
    const std::size_t x_block = block % x.blocks();  // the planes of a matrix multiply the same activations
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Int8Tile tokens = x.Tile(tile);
      const bool is_direct = panels.layout == kernels.direct_layout,
                 fetches = is_direct && tile == first_tile && block + 1 < panels.blocks();
      kernels.add_block({.places = is_direct ? panels.Codes(first_panel, block)
                                             : prepared.places.data() + b * held * kPlaceBytes,
                         .is_direct = is_direct,
                         .panel_stride = is_direct ? panels.panel_bytes : kPlaceBytes,
                         .next_codes = fetches ? panels.Codes(first_panel, block + 1) : nullptr,
                         .panels = held,
                         .quads = Quads(panels.BlockLength(block)),
                         .tokens = std::min(kTableTokens, x.rows() - tile * kTableTokens),
                         .x = tokens.codes + x_block * panels.block * kTableTokens,
                         .weight_scales = prepared.weight_scales.data() + b * held * kCodeRows,
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
