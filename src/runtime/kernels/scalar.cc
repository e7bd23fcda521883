// SPDX-License-Identifier: Apache-2.0
// The twin that every other target is tested against: plain loops, the same arithmetic, no intrinsics.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/float16.h"
#include "runtime/kernels/exponential.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::runtime {
namespace {

float Exp(float x) {
  x = std::min(std::max(x, kExpLowest), kExpHighest);
  const float n = std::nearbyint(x * kLog2OfE);
  float r = std::fma(-n, kLn2High, x);
  r = std::fma(-n, kLn2Low, r);
  float power = kExpCoefficients[0];
  for (int i = 1; i < 8; ++i) power = std::fma(power, r, kExpCoefficients[i]);
  return power * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
}

float SumLanes(const float* l) { return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])); }

void GemmTile(const PanelProduct& tile) {
  for (std::size_t r = 0; r < tile.rows; ++r) {
    for (std::size_t c = 0; c < tile.columns; ++c) {
      float& out = tile.out[r * tile.out_stride + c];
      const float* panel = tile.panels + c / kPanelWidth * tile.panel_stride + c % kPanelWidth;
      float sum = tile.accumulate ? out : 0;
      for (std::size_t k = 0; k < tile.depth; ++k)
        sum = std::fma(tile.x[r * tile.x_stride + k], panel[k * kPanelWidth], sum);
      out = sum;
    }
  }
}

/// Value (k, column c of the panels), by the definition in narrow_panels.h.
float Value(const NarrowPanels& panels, std::size_t k, std::size_t c) {
  const std::size_t panel = c / kPanelWidth,
                    index = panel * panels.panel_stride + k * kPanelWidth + c % kPanelWidth;
  if (panels.numbers == PanelNumbers::kHalf) {
    std::uint16_t half;
    std::memcpy(&half, panels.codes + 2 * index, 2);
    return HalfToFloat(half);
  }
  const std::size_t scale =
      panels.numbers == PanelNumbers::kInt8ByRow
          ? panel / 2 * panels.scale_stride + k
          : panel * panels.scale_stride + k / kScaleBlock * kPanelWidth + c % kPanelWidth;
  return HalfToFloat(panels.scales[scale]) *
         static_cast<float>(std::to_integer<std::int8_t>(panels.codes[index]));
}

void NarrowTile(const PanelProduct& tile, const NarrowPanels& panels) {
  for (std::size_t r = 0; r < tile.rows; ++r)
    for (std::size_t c = 0; c < tile.columns; ++c) {
      float& out = tile.out[r * tile.out_stride + c];
      float sum = tile.accumulate ? out : 0;
      for (std::size_t k = 0; k < tile.depth; ++k)
        sum = std::fma(tile.x[r * tile.x_stride + k], Value(panels, k, c), sum);
      out = sum;
    }
}

void WidenPair(const NarrowPanels& panels, std::size_t count, std::size_t depth, float* out) {
  for (std::size_t c = 0; c < count * kPanelWidth; ++c)
    for (std::size_t k = 0; k < depth; ++k)
      out[(c / kPanelWidth * depth + k) * kPanelWidth + c % kPanelWidth] = Value(panels, k, c);
}

/// Weight (k, column c of the panel), by the definition in packed_panels.h.
float Weight(const PackedPanels& panels, std::size_t panel, std::size_t k, std::size_t c) {
  const std::byte* codes = panels.codes + (panel * panels.depth + k) * CodeBytes(panels.type);
  const std::size_t index = (panel * (panels.depth / panels.group) + k / panels.group) * kPanelWidth + c;
  const auto scale = [&] { return HalfToFloat(panels.scales[index]); };
  const auto number = [&](auto example) {
    std::memcpy(&example, codes + c * sizeof example, sizeof example);
    return example;
  };
  const auto nibble = [&] { return std::to_integer<int>(codes[c % 8]) >> (4 * (c / 8)) & 15; };
  switch (panels.type) {
    case WeightType::kFloat32:
      return number(0.0f);
    case WeightType::kFloat16:
      return HalfToFloat(number(std::uint16_t{0}));
    case WeightType::kBFloat16:
      return BFloat16ToFloat(number(std::uint16_t{0}));
    case WeightType::kInt8:
      return scale() * static_cast<float>(number(std::int8_t{0}));
    case WeightType::kInt4:
      return scale() * static_cast<float>(nibble() - 8);
    case WeightType::kInt4Minimum:
      return scale() * static_cast<float>(nibble()) + HalfToFloat(panels.minimums[index]);
    case WeightType::kTernary:
      return scale() * static_cast<float>((std::to_integer<int>(codes[c % 4]) >> (2 * (c / 4)) & 3) - 1);
  }
  return 0;
}

void Unpack(const PackedPanels& panels, std::size_t panel, float* out) {
  for (std::size_t k = 0; k < panels.depth; ++k)
    for (std::size_t c = 0; c < kPanelWidth; ++c) out[k * kPanelWidth + c] = Weight(panels, panel, k, c);
}

void MultiplyRow(const PackedPanels& panels, const float* x, std::size_t first, std::size_t last,
                 float* out) {
  for (std::size_t panel = first; panel < last; ++panel)
    for (std::size_t c = 0; c < kPanelWidth; ++c, ++out) {
      *out = 0;
      for (std::size_t k = 0; k < panels.depth; ++k) *out = std::fma(x[k], Weight(panels, panel, k, c), *out);
    }
}

float Dot(const float* a, const float* b, std::size_t size) {
  float lanes[8] = {};
  for (std::size_t i = 0; i < size; ++i) lanes[i % 8] = std::fma(a[i], b[i], lanes[i % 8]);
  return SumLanes(lanes);
}

void RmsNorm(const float* x, const float* gain, std::size_t size, float epsilon, float* out) {
  const float inverse = 1.0f / std::sqrt(Dot(x, x, size) / static_cast<float>(size) + epsilon);
  for (std::size_t i = 0; i < size; ++i) out[i] = x[i] * inverse * gain[i];
}

void SiluMultiply(float* gate, const float* up, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) gate[i] = gate[i] / (1.0f + Exp(-gate[i])) * up[i];
}

void Axpy(float a, const float* x, std::size_t size, float* y) {
  for (std::size_t i = 0; i < size; ++i) y[i] = std::fma(a, x[i], y[i]);
}

void Softmax(float* x, std::size_t size, float scale) {
  const float highest = *std::max_element(x, x + size) * scale;
  float lanes[8] = {};
  for (std::size_t i = 0; i < size; ++i) {
    x[i] = Exp(std::fma(x[i], scale, -highest));
    lanes[i % 8] += x[i];
  }
  const float inverse = 1.0f / SumLanes(lanes);
  for (std::size_t i = 0; i < size; ++i) x[i] *= inverse;
}

double LogSumExp(const float* x, std::size_t size) {
  const float highest = *std::max_element(x, x + size);
  double lanes[8] = {};
  for (std::size_t i = 0; i < size; ++i) lanes[i % 8] += static_cast<double>(Exp(x[i] - highest));
  const double sum =
      ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  return static_cast<double>(highest) + std::log(sum);
}

void ToHalf(const float* x, std::size_t size, std::uint16_t* out) {
  for (std::size_t i = 0; i < size; ++i) out[i] = FloatToHalf(std::clamp(x[i], -kLargestHalf, kLargestHalf));
}

}  // namespace

const KernelTable& ScalarKernels() {
  static const KernelTable table{.tile_rows = 6,
                                 .tile_panels = 1,
                                 .gemm_tile = GemmTile,
                                 .narrow_tile = NarrowTile,
                                 .widen_pair = WidenPair,
                                 .unpack = Unpack,
                                 .multiply_row = MultiplyRow,
                                 .dot = Dot,
                                 .rms_norm = RmsNorm,
                                 .silu_multiply = SiluMultiply,
                                 .softmax = Softmax,
                                 .log_sum_exp = LogSumExp,
                                 .axpy = Axpy,
                                 .to_half = ToHalf};
  return table;
}

}  // namespace forge::runtime
