// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/table_product.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kAhead = 8;  // panels whose scales are fetched before they are asked for

/// Of one block of the panels.
struct Prepared {
  std::vector<std::byte> places;     // [ranges][panels][kPlaceBytes]
  std::vector<float> weight_scales;  // [ranges][rows]

  void Prepare(const TableKernels& kernels, const CodePanels& panels, const PanelRanges& wanted,
               std::size_t block) {
    const std::size_t all = wanted.ranges * wanted.count;
    if (kernels.places[static_cast<std::size_t>(panels.layout)] != nullptr)
      places.resize(std::max(places.size(), all * kPlaceBytes));
    weight_scales.resize(std::max(weight_scales.size(), all * kCodeRows));
    for (std::size_t range = 0; range < wanted.ranges; ++range)
      PrepareRange(kernels, panels, wanted.first + range * wanted.distance, wanted.count, block,
                   range * wanted.count);
  }

 private:
  /// Panels from `first` on, which stand from place `to` on here.
  void PrepareRange(const TableKernels& kernels, const CodePanels& panels, std::size_t first,
                    std::size_t count, std::size_t block, std::size_t to) {
    const auto to_places = kernels.places[static_cast<std::size_t>(panels.layout)];
    const auto panel_ahead = [&](std::size_t p, std::size_t ahead) {
      return first + std::min(p + ahead, count - 1);
    };
    for (std::size_t p = 0; p < count; ++p) {
      if (to_places != nullptr)
        to_places(panels.Codes(first + p, block), Quads(panels.BlockLength(block)), p, count,
                  panels.Codes(panel_ahead(p, 2), block), places.data() + to * kPlaceBytes);
      __builtin_prefetch(panels.Scales(panel_ahead(p, kAhead), block));
      kernels.widen_scales(panels.Scales(first + p, block), weight_scales.data() + (to + p) * kCodeRows);
    }
  }
};

}  // namespace

void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, const PanelRanges& wanted,
                      const Int8Rows& x, std::size_t first_tile, std::size_t last_tile, float* sums) {
  FORGE_CHECK(x.width() == kTableTokens && panels.block <= kMostBlock);
  thread_local Prepared prepared;
  const std::size_t stride = (last_tile - first_tile) * kCodeRows * kTableTokens;
  const bool is_direct = panels.layout == kernels.direct_layout;
  for (std::size_t block = 0; block < panels.blocks(); ++block) {
    prepared.Prepare(kernels, panels, wanted, block);
    const std::size_t x_block = block % x.blocks();  // the planes of a matrix multiply the same activations
    for (std::size_t tile = first_tile; tile < last_tile; ++tile) {
      const Int8Tile tokens = x.Tile(tile);
      const bool fetches = tile == first_tile && block + 1 < panels.blocks();
      kernels.add_block(
          {.places = is_direct ? panels.Codes(wanted.first, block) : prepared.places.data(),
           .is_direct = is_direct,
           .panel_stride = is_direct ? panels.panel_bytes : kPlaceBytes,
           .next_codes = fetches ? panels.Codes(wanted.first, block + 1) : nullptr,
           .next_stride = panels.panel_bytes,
           .ranges = wanted.ranges,
           .panels = wanted.count,
           .range_places = is_direct ? wanted.distance * panels.panel_bytes : wanted.count * kPlaceBytes,
           .range_codes = wanted.distance * panels.panel_bytes,
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
    for (std::size_t i = 0; i < wanted.ranges * wanted.count * (last_tile - first_tile); ++i)
      kernels.turn(sums + i * kCodeRows * kTableTokens);
}

}  // namespace forge::runtime
