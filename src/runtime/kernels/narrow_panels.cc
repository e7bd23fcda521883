// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/narrow_panels.h"

#include <algorithm>

#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

void Multiply(const PanelProduct& product, const NarrowPanels& panels) {
  const KernelTable& kernels = Kernels();
  PanelProduct tile = product;
  for (std::size_t column = 0; column < product.columns; column += 2 * kPanelWidth) {
    tile.columns = std::min<std::size_t>(2 * kPanelWidth, product.columns - column);
    const NarrowPanels pair = panels.FromPanel(column / kPanelWidth);
    for (std::size_t row = 0; row < product.rows; row += kNarrowRows) {
      tile.rows = std::min(kNarrowRows, product.rows - row);
      tile.x = product.x + row * product.x_stride;
      tile.out = product.out + row * product.out_stride + column;
      kernels.narrow_tile(tile, pair);
    }
  }
}

void Widen(const NarrowPanels& panels, std::size_t columns, std::size_t depth, float* out) {
  for (std::size_t column = 0; column < columns; column += 2 * kPanelWidth)
    Kernels().widen_pair(panels.FromPanel(column / kPanelWidth), columns - column > kPanelWidth ? 2 : 1,
                         depth, out + column * depth);
}

}  // namespace forge::runtime
