// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/panel_product.h"

namespace forge::runtime {

/// How the numbers of narrow panels stand for floats. The int8 kinds are blocks of Q8_0: scale * code, 32
/// codes of -127 to 127 to a binary16 scale, a product that float32 holds exactly.
///   kHalf          binary16
///   kInt8ByColumn  a scale for k / 32 of each column: scales [panels][depth / 32 rounded up][16]
///   kInt8ByRow     a scale for each k of two panels:  scales [panels / 2 rounded up][scale_stride]
enum class PanelNumbers { kHalf, kInt8ByColumn, kInt8ByRow };

/// Values that share a scale.
inline constexpr std::size_t kScaleBlock = 32;

constexpr std::size_t BytesOf(PanelNumbers numbers) { return numbers == PanelNumbers::kHalf ? 2 : 1; }

/// Panels as those of PanelProduct, in 16 or 8 bits. Scales of kInt8ByRow are read in steps of 16 k: those
/// beyond the depth must be there, and may be anything.
struct NarrowPanels {
  PanelNumbers numbers;
  const std::byte* codes;  // [panels][depth, 16], panels `panel_stride` numbers apart
  std::size_t panel_stride;
  const std::uint16_t* scales;  // binary16; unused by kHalf
  std::size_t scale_stride;  // numbers: from panel to panel of kInt8ByColumn, from pair to pair of kInt8ByRow

  /// The same panels from `panel` on, an even one.
  NarrowPanels FromPanel(std::size_t panel) const {
    const std::size_t step = numbers == PanelNumbers::kInt8ByRow ? panel / 2 : panel;
    return {numbers, codes + panel * panel_stride * BytesOf(numbers), panel_stride,
            scales + (numbers == PanelNumbers::kHalf ? 0 : step * scale_stride), scale_stride};
  }
  /// The same panels from row `k` on: a multiple of 16, and 0 for kInt8ByColumn.
  NarrowPanels FromRow(std::size_t k) const {
    return {numbers, codes + k * kPanelWidth * BytesOf(numbers), panel_stride,
            scales + (numbers == PanelNumbers::kInt8ByRow ? k : 0), scale_stride};
  }
};

/// Most rows that a narrow product takes without widening its panels first.
inline constexpr std::size_t kNarrowRows = 6;

/// The product of PanelProduct with the values of narrow panels (its `panels` and `panel_stride` are unused):
/// the same bits as with these values in float32. On this thread.
void Multiply(const PanelProduct& product, const NarrowPanels& panels);

/// out [columns / 16 rounded up][depth, 16]: the values as panels of floats.
void Widen(const NarrowPanels& panels, std::size_t columns, std::size_t depth, float* out);

}  // namespace forge::runtime
