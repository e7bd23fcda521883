// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/table_product.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kAhead = 8;  // panels whose scales are fetched before they are asked for

/// Of one block of neighbouring panels.
struct Prepared {
  std::vector<std::byte> places;     // [panels][kPlaceBytes]
  std::vector<float> weight_scales;  // [rows]

  void Prepare(const TableKernels& kernels, const CodePanels& panels, std::size_t first, std::size_t count,
               std::size_t block) {
    const auto to_places = kernels.places[static_cast<std::size_t>(panels.layout)];
    const auto panel_ahead = [&](std::size_t p, std::size_t ahead) {
      return first + std::min(p + ahead, count - 1);
    };
    if (to_places != nullptr) places.resize(std::max(places.size(), count * kPlaceBytes));
    weight_scales.resize(std::max(weight_scales.size(), count * kCodeRows));
    for (std::size_t p = 0; p < count; ++p) {
      if (to_places != nullptr)
        to_places(panels.Codes(first + p, block), Quads(panels.BlockLength(block)), p, count,
                  panels.Codes(panel_ahead(p, 2), block), places.data());
      __builtin_prefetch(panels.Scales(panel_ahead(p, kAhead), block));
      kernels.widen_scales(panels.Scales(first + p, block), weight_scales.data() + p * kCodeRows);
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
    prepared.Prepare(kernels, panels, first_panel, held, block);
    const std::size_t x_block = block % x.blocks();  // the planes of a matrix multiply the same activations
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Int8Tile tokens = x.Tile(tile);
      const bool is_direct = panels.layout == kernels.direct_layout,
                 fetches = tile == first_tile && block + 1 < panels.blocks();
      kernels.add_block({.places = is_direct ? panels.Codes(first_panel, block) : prepared.places.data(),
                         .is_direct = is_direct,
                         .panel_stride = is_direct ? panels.panel_bytes : kPlaceBytes,
                         .next_codes = fetches ? panels.Codes(first_panel, block + 1) : nullptr,
                         .next_stride = panels.panel_bytes,
                         .panels = held,
                         .quads = Quads(panels.BlockLength(block)),
                         .tokens = std::min(kTableTokens, x.rows() - tile * kTableTokens),
                         .x = tokens.codes + x_block * panels.block * kTableTokens,
                         .weight_scales = prepared.weight_scales.data(),
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
