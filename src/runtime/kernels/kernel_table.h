// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu_features.h"
#include "runtime/kernels/narrow_panels.h"
#include "runtime/kernels/packed_panels.h"
#include "runtime/kernels/panel_product.h"

namespace forge::runtime {

inline constexpr float kLargestHalf = 65504;  // of the numbers of binary16

/// The hot loops of one target. All targets give the same bits for the same input: every output is one fixed
/// sequence of fused multiply-adds (dot products: eight lanes i mod 8, added as
/// ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7))), and exp is the same polynomial everywhere. The scalar table is the
/// twin that the tests compare with. None reads or writes past the stated sizes; no alignment is needed.
struct KernelTable {
  /// Most rows (tokens) and panels that one call of gemm_tile works on.
  int tile_rows, tile_panels;
  /// The product of one tile: 1 <= rows <= tile_rows, 1 <= columns <= 16 tile_panels.
  void (*gemm_tile)(const PanelProduct& tile);

  /// The product of one tile with narrow panels, its first panel an even one: 1 <= rows <= kNarrowRows, 1 <=
  /// columns <= 32. The bits of gemm_tile over widened panels.
  void (*narrow_tile)(const PanelProduct& tile, const NarrowPanels& panels);
  /// The first `count` (1 or 2) panels as floats: out [count][depth, 16].
  void (*widen_pair)(const NarrowPanels& panels, std::size_t count, std::size_t depth, float* out);

  /// The weights of one panel as floats: out [depth, 16].
  void (*unpack)(const PackedPanels& panels, std::size_t panel, float* out);
  /// One row x [depth] times the panels [first, last): out [16 (last - first)], the bits of gemm_tile over
  /// unpacked panels, without the way through memory.
  void (*multiply_row)(const PackedPanels& panels, const float* x, std::size_t first, std::size_t last,
                       float* out);

  /// sum of a[i] * b[i].
  float (*dot)(const float* a, const float* b, std::size_t size);
  /// out[i] = x[i] * gain[i] / sqrt(mean(x^2) + epsilon)   (RMSNorm, Zhang and Sennrich 2019, equation 4);
  /// out may be x
  void (*rms_norm)(const float* x, const float* gain, std::size_t size, float epsilon, float* out);
  /// gate[i] = silu(gate[i]) * up[i]
  void (*silu_multiply)(float* gate, const float* up, std::size_t size);
  /// x[i] = exp(scale * x[i] - m) / sum of the same, m the largest scale * x[i]; size > 0, scale > 0.
  void (*softmax)(float* x, std::size_t size, float scale);
  /// log(sum(exp(x[i]))), by the maximum, summed in double.
  double (*log_sum_exp)(const float* x, std::size_t size);
  /// y[i] += a * x[i], fused.
  void (*axpy)(float a, const float* x, std::size_t size, float* y);
  /// out[i] = x[i] in binary16, to the nearest, ties to even; magnitudes beyond kLargestHalf become that.
  void (*to_half)(const float* x, std::size_t size, std::uint16_t* out);
};

const KernelTable& ScalarKernels();
const KernelTable& Avx2Kernels();    // only where the processor has AVX2, FMA, F16C and BMI2
const KernelTable& Avx512Kernels();  // only where it has AVX-512 F, BW, VL and VNNI
/// The table of ChosenTarget(), or of the next lower one that exists.
const KernelTable& Kernels();
/// The target whose table that is.
CpuTarget KernelTarget();

}  // namespace forge::runtime
