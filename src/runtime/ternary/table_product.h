// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ternary/code_tables.h"
#include "runtime/ternary/int8_rows.h"

namespace forge::runtime {

/// Panels from which on tables pay: 256 rows share the work of one.
inline constexpr std::size_t kFewestTablePanels = 8;

/// The product of ternary panels with tiles of kTableTokens tokens through tables of sums (code_tables.h), on
/// this thread: sums [last_panel - first_panel][tiles][16 tokens][32 rows], each the bits of the other
/// kernels.
void SumThroughTables(const TableKernels& kernels, const CodePanels& panels, std::size_t first_panel,
                      std::size_t last_panel, const Int8Rows& x, std::size_t first_tile,
                      std::size_t last_tile, float* sums);

}  // namespace forge::runtime
