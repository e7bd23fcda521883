// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ternary/code_tables.h"
#include "runtime/ternary/int8_rows.h"

namespace forge::runtime {

/// Panels of a piece whose places in the tables and sums stay in a second cache of 512 kB: 1024 rows.
inline constexpr std::size_t kTablePanels = 32;
/// Panels from which on tables pay: 256 rows share the work of one.
inline constexpr std::size_t kFewestTablePanels = 8;
/// Tiles of 16 tokens that share the work of finding those places.
inline constexpr std::size_t kTableTiles = 4;

/// The product of ternary panels with tiles of kTableTokens tokens through tables of sums (code_tables.h), on
/// this thread: sums [tiles][32 (last_panel - first_panel)][16 tokens], each the bits of the other kernels.
void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
                      std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                      std::size_t last_tile, float* sums);

}  // namespace forge::runtime
