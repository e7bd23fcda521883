// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace forge::merge {

/// Codes of magnitudes in [low, high): the bits of |x|, which order as the magnitudes do.
struct CodeRange {
  std::uint32_t low = 0, high = 0xFFFFFFFF;
};

/// The loops of merging that run over every weight. One source, compiled for each target: plain loops that
/// the compiler turns into vectors, without fused operations and with sums in a fixed order (eight lanes
/// i mod 8, then ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7))), so all targets give the same bits. Arrays need no
/// alignment and may have any size; outputs may be one of the inputs of the same index.
struct ElementKernels {
  /// out[i] = sum over models of coefficients[m] * inputs[m][i], in model order.
  void (*combine)(const float* const* inputs, const float* coefficients, std::size_t models, std::size_t size,
                  float* out);
  /// The same of the changes: out[i] = base[i] + sum of coefficients[m] * (inputs[m][i] - base[i]).
  void (*combine_changes)(const float* base, const float* const* inputs, const float* coefficients,
                          std::size_t models, std::size_t size, float* out);
  /// The same where the changes are at hand: out[i] = base[i] + sum of coefficients[m] * changes[m][i].
  void (*add_changes)(const float* base, const float* const* changes, const float* coefficients,
                      std::size_t models, std::size_t size, float* out);
  /// out[i] = a[i] - b[i]
  void (*subtract)(const float* a, const float* b, std::size_t size, float* out);
  /// sum of a[i] * b[i], the products exact.
  double (*dot)(const float* a, const float* b, std::size_t size);
  /// sum of |a[i]|
  double (*sum_abs)(const float* a, std::size_t size);

  /// Keeps what lies in the range and sets the rest to zero.
  void (*keep_range)(const float* values, std::size_t size, CodeRange range, float* out);
  /// How many lie in the range.
  std::size_t (*count_range)(const float* values, std::size_t size, CodeRange range);
  /// Writes the codes that lie in the range, in order, and adds the number of those at or above range.high to
  /// `above`; returns how many were written.  codes  room for `size`
  std::size_t (*select_range)(const float* values, std::size_t size, CodeRange range, std::uint32_t* codes,
                              std::size_t* above);
  /// Keeps value i where bit i % 64 of words[i / 64] is set.
  void (*keep_bits)(const float* values, std::size_t size, const std::uint64_t* words, float* out);

  /// out[i] = base[i] + lambda * merged change, of changes that are weighted, voted on and summed as TIES
  /// does (Yadav et al. 2023, arXiv:2306.01708, with mergekit's vote on weighted changes):
  ///   e_m = weights[m] * changes[m][i];  sign = the sign of sum e_m, + if it is 0
  ///   change = sum of the e_m that have that sign, divided by the sum of their shares
  ///   shares  [models], above 0; nullptr: no division
  void (*vote)(const float* base, const float* const* changes, const float* weights, const float* shares,
               std::size_t models, float lambda, std::size_t size, float* out);

  /// Words of Philox 4x32-10 for 64 elements a time: word e / 16 of block (first_block + e % 16) for element
  /// e.
  ///   groups  of 64; block counters are consecutive, 16 a group; counter = {block, c1, c2, c3}
  void (*philox)(const std::uint32_t* counter_rest, const std::uint32_t* key, std::uint32_t first_block,
                 std::size_t groups, std::uint32_t* words);
  /// Bit i % 64 of bits[i / 64] set where words[i] < threshold. Reads words up to the next multiple of 64.
  void (*below)(const std::uint32_t* words, std::uint32_t threshold, std::size_t size, std::uint64_t* bits);
  /// The same with a threshold for each element, read as far.
  void (*below_each)(const std::uint32_t* words, const std::uint32_t* thresholds, std::size_t size,
                     std::uint64_t* bits);
};

const ElementKernels& ScalarElementKernels();
const ElementKernels& Avx2ElementKernels();
const ElementKernels& Avx512ElementKernels();
/// The table of ChosenTarget().
const ElementKernels& Elements();

}  // namespace forge::merge
