// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/panel_product.h"

#include <algorithm>

#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {

void Multiply(const PanelProduct& product) {
  const KernelTable& kernels = Kernels();
  const auto tile_rows = static_cast<std::size_t>(kernels.tile_rows);
  const std::size_t tile_columns = kPanelWidth * static_cast<std::size_t>(kernels.tile_panels);
  PanelProduct tile = product;
  for (std::size_t column = 0; column < product.columns; column += tile_columns) {
    tile.columns = std::min(tile_columns, product.columns - column);
    tile.panels = product.panels + column / kPanelWidth * product.panel_stride;
    for (std::size_t row = 0; row < product.rows; row += tile_rows) {
      tile.rows = std::min(tile_rows, product.rows - row);
      tile.x = product.x + row * product.x_stride;
      tile.out = product.out + row * product.out_stride + column;
      kernels.gemm_tile(tile);
    }
  }
}

}  // namespace forge::runtime
