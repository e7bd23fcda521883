// SPDX-License-Identifier: Apache-2.0
// AVX2 + FMA. The target is set for the functions of this file only, after all includes: setting it for the
// whole file would compile inline functions of the headers with AVX2 too, and the linker might take those
// copies everywhere.
#include "runtime/kernels/kernel_table.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>

#include "runtime/kernels/exponential.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace forge::runtime {
namespace {

inline __m256 Exp8(__m256 x) {
  x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(kExpLowest)), _mm256_set1_ps(kExpHighest));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(kLog2OfE)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kLn2High), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kLn2Low), r);
  __m256 power = _mm256_set1_ps(kExpCoefficients[0]);
  for (int i = 1; i < 8; ++i) power = _mm256_fmadd_ps(power, r, _mm256_set1_ps(kExpCoefficients[i]));
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(power, _mm256_castsi256_ps(exponent));
}

inline float SumLanes(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/// All ones in the first `count` (0 to 8) lanes.
inline __m256i Mask(std::size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Unrolled by hand of the pragma in all three places: one loop left over a register array makes the compiler
// keep the array in memory, and store every sum at every k.
template <int kRows>
void GemmRows(const PanelProduct& tile) {
  const float *x = tile.x, *panel = tile.panels;
  const std::size_t x_stride = tile.x_stride, depth = tile.depth;
  const __m256i mask_low = Mask(tile.columns < 8 ? tile.columns : 8),
                mask_high = Mask(tile.columns > 8 ? tile.columns - 8 : 0);
  __m256 low[kRows], high[kRows];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    low[r] = high[r] = _mm256_setzero_ps();
    if (!tile.accumulate) continue;
    low[r] = _mm256_maskload_ps(tile.out + r * tile.out_stride, mask_low);
    high[r] = _mm256_maskload_ps(tile.out + r * tile.out_stride + 8, mask_high);
  }
  for (std::size_t k = 0; k < depth; ++k) {
    const __m256 panel_low = _mm256_loadu_ps(panel + k * kPanelWidth);
    const __m256 panel_high = _mm256_loadu_ps(panel + k * kPanelWidth + 8);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m256 value = _mm256_broadcast_ss(x + r * x_stride + k);
      low[r] = _mm256_fmadd_ps(value, panel_low, low[r]);
      high[r] = _mm256_fmadd_ps(value, panel_high, high[r]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    _mm256_maskstore_ps(tile.out + r * tile.out_stride, mask_low, low[r]);
    _mm256_maskstore_ps(tile.out + r * tile.out_stride + 8, mask_high, high[r]);
  }
}

void GemmTile(const PanelProduct& tile) {
  switch (tile.rows) {
    case 1:
      return GemmRows<1>(tile);
    case 2:
      return GemmRows<2>(tile);
    case 3:
      return GemmRows<3>(tile);
    case 4:
      return GemmRows<4>(tile);
    case 5:
      return GemmRows<5>(tile);
    default:
      return GemmRows<6>(tile);
  }
}

struct Vector {
  __m256 low, high;

  static Vector Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vector Broadcast(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static Vector Load(const float* x) { return {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)}; }
  static Vector Fma(Vector a, Vector b, Vector c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Vector Mul(Vector a, Vector b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static Vector Add(Vector a, Vector b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static void Store(float* out, Vector a) {
    _mm256_storeu_ps(out, a.low);
    _mm256_storeu_ps(out + 8, a.high);
  }

  static __m128i Load16(const std::byte* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  }
  static Vector Half(const std::byte* codes) {
    return {_mm256_cvtph_ps(Load16(codes)), _mm256_cvtph_ps(Load16(codes + 16))};
  }
  static __m256 Widen(__m128i bfloats) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bfloats), 16));
  }
  static Vector BFloat16(const std::byte* codes) { return {Widen(Load16(codes)), Widen(Load16(codes + 16))}; }
  static Vector Signed(__m128i bytes) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  static Vector Int8(const std::byte* codes) { return Signed(Load16(codes)); }
  static Vector Int4(const std::byte* codes, int zero) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
    const __m128i nibbles =
        _mm_and_si128(_mm_unpacklo_epi64(bytes, _mm_srli_epi16(bytes, 4)), _mm_set1_epi8(15));
    return Signed(_mm_sub_epi8(nibbles, _mm_set1_epi8(static_cast<char>(zero))));
  }
  static Vector Ternary(const std::byte* codes) {
    int word;
    __builtin_memcpy(&word, codes, 4);
    // 32-bit lane j shifted by 2j: its byte b is then column 4j + b.
    const __m128i shifted = _mm_srlv_epi32(_mm_set1_epi32(word), _mm_setr_epi32(0, 2, 4, 6));
    return Signed(_mm_sub_epi8(_mm_and_si128(shifted, _mm_set1_epi8(3)), _mm_set1_epi8(1)));
  }
};

#include "runtime/kernels/panel_rows.inc"

constexpr int kMostSums = 6;
#include "runtime/kernels/narrow_rows.inc"

float Dot(const float* a, const float* b, std::size_t size) {
  __m256 sum = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) sum = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sum);
  if (i < size) {
    const __m256i mask = Mask(size - i);
    sum = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), sum);
  }
  return SumLanes(sum);
}

void RmsNorm(const float* x, const float* gain, std::size_t size, float epsilon, float* out) {
  const float inverse = 1.0f / std::sqrt(Dot(x, x, size) / static_cast<float>(size) + epsilon);
  for (std::size_t i = 0; i < size; ++i) out[i] = x[i] * inverse * gain[i];
}

void SiluMultiply(float* gate, const float* up, std::size_t size) {
  const __m256 one = _mm256_set1_ps(1.0f), zero = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {  // whole vectors apart: stores with a mask are slow
    const __m256 x = _mm256_loadu_ps(gate + i);
    const __m256 silu = _mm256_div_ps(x, _mm256_add_ps(one, Exp8(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)))));
    _mm256_storeu_ps(gate + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
  }
  if (i < size) {
    const __m256i mask = Mask(size - i);
    const __m256 x = _mm256_maskload_ps(gate + i, mask);
    // sub from -0 negates without touching the sign of zero, as the twin's unary minus does
    const __m256 negated = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    const __m256 silu = _mm256_div_ps(
        x, _mm256_add_ps(one, Exp8(_mm256_blendv_ps(zero, negated, _mm256_castsi256_ps(mask)))));
    _mm256_maskstore_ps(gate + i, mask, _mm256_mul_ps(silu, _mm256_maskload_ps(up + i, mask)));
  }
}

void Axpy(float a, const float* x, std::size_t size, float* y) {
  const __m256 factor = _mm256_set1_ps(a);
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8)
    _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  if (i < size) {
    const __m256i mask = Mask(size - i);
    _mm256_maskstore_ps(
        y + i, mask,
        _mm256_fmadd_ps(factor, _mm256_maskload_ps(x + i, mask), _mm256_maskload_ps(y + i, mask)));
  }
}

float Highest(const float* x, std::size_t size) {
  float highest = x[0];
  std::size_t i = 0;
  if (size >= 8) {
    __m256 lanes = _mm256_loadu_ps(x);
    for (i = 8; i + 8 <= size; i += 8) lanes = _mm256_max_ps(lanes, _mm256_loadu_ps(x + i));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    highest = _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  for (; i < size; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

void Softmax(float* x, std::size_t size, float scale) {
  const __m256 factor = _mm256_set1_ps(scale), highest = _mm256_set1_ps(Highest(x, size) * scale);
  __m256 sum = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {  // whole vectors apart: stores with a mask are slow
    const __m256 power = Exp8(_mm256_fmsub_ps(_mm256_loadu_ps(x + i), factor, highest));
    _mm256_storeu_ps(x + i, power);
    sum = _mm256_add_ps(sum, power);
  }
  if (i < size) {
    const __m256i mask = Mask(size - i);
    const __m256 power = Exp8(_mm256_fmsub_ps(_mm256_maskload_ps(x + i, mask), factor, highest));
    _mm256_maskstore_ps(x + i, mask, power);
    sum = _mm256_add_ps(sum, _mm256_and_ps(power, _mm256_castsi256_ps(mask)));
  }
  const float inverse = 1.0f / SumLanes(sum);
  for (i = 0; i < size; ++i) x[i] *= inverse;
}

double LogSumExp(const float* x, std::size_t size) {
  const float highest = Highest(x, size);
  const __m256 shift = _mm256_set1_ps(highest);
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  for (std::size_t i = 0; i < size; i += 8) {
    const __m256i mask = Mask(size - i < 8 ? size - i : 8);
    const __m256 power =
        _mm256_and_ps(Exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), shift)), _mm256_castsi256_ps(mask));
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(power)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(power, 1)));
  }
  const __m256d four = _mm256_add_pd(low, high);  // l0+l4, l1+l5, l2+l6, l3+l7
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return static_cast<double>(highest) +
         std::log(_mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two)));
}

void ToHalf(const float* x, std::size_t size, std::uint16_t* out) {
  const __m256 most = _mm256_set1_ps(kLargestHalf), least = _mm256_set1_ps(-kLargestHalf);
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    // Of a NaN and a limit, these give what stands second.
    const __m256 value = _mm256_max_ps(least, _mm256_min_ps(most, _mm256_loadu_ps(x + i)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
  if (i < size) ScalarKernels().to_half(x + i, size - i, out + i);
}

}  // namespace

const KernelTable& Avx2Kernels() {
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

#pragma GCC pop_options
#endif
