// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ternary/code_tables.h"
#include "runtime/ternary/int8_rows.h"

namespace forge::runtime {

/// Panels from which on tables pay: 256 rows share the work of one.
inline constexpr std::size_t kFewestTablePanels = 8;

/// Ranges of `count` neighbouring panels, `distance` apart.
struct PanelRanges {
  std::size_t first, count, ranges = 1, distance = 0;
};

/// The product of ternary panels with tiles of kTableTokens tokens through tables of sums (code_tables.h), on
/// this thread: sums [ranges][count][tiles][16 tokens][32 rows], each the bits of the other kernels. Ranges
/// share the tables.
void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, const PanelRanges& wanted,
                      const Int8Rows& x, std::size_t first_tile, std::size_t last_tile, float* sums);

}  // namespace forge::runtime
