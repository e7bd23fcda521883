// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace forge::merge {

/// Codes of magnitudes in [low, high): the bits of |x|, which order as the magnitudes do.
struct CodeRange {
  std::uint32_t low = 0, high = 0xFFFFFFFF;
};

/// Where values lie: float32, or bfloat16 as files store it (of any alignment). Whoever made them keeps them.
struct Values {
  const void* at = nullptr;
  bool is_bfloat16 = false;

  Values From(std::size_t element) const {
    const std::size_t bytes = is_bfloat16 ? 2 : 4;
    return {static_cast<const unsigned char*>(at) + element * bytes, is_bfloat16};
  }
};

/// of - from, element by element, both stored alike; without `from` the values of `of`, which are float32
/// then.
struct Change {
  Values of, from = {};

  Change From(std::size_t element) const {
    return {of.From(element), from.at == nullptr ? Values{} : from.From(element)};
  }
};

/// Where the loops keep what belongs to one of 256 bins: at the bin with its two hexadecimal digits swapped,
/// so that sums over bins go from register to register and not along each.
constexpr std::uint8_t PlaceOfBin(std::uint32_t bin) {
  return static_cast<std::uint8_t>(bin << 4 | bin >> 4);
}

/// The loops of merging that run over every weight. One source, compiled for each target: vectors as wide as
/// its registers, without fused operations and with sums in a fixed order (eight lanes i mod 8, then
/// ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7))), so all targets give the same bits. What is stored as bfloat16 is
/// widened in registers: a loop reads the bytes of the files and nothing lies between. Sources of one call
/// are stored alike. Arrays may have any size. Bits: that of element i is bit i % 64 of word i / 64, [size /
/// 64 + 1].
struct ElementKernels {
  /// out[i] = sum over models of coefficients[m] * inputs[m][i], in model order.
  void (*combine)(const Values* inputs, const float* coefficients, std::size_t models, std::size_t size,
                  float* out);
  /// The same of the changes: out[i] = base[i] + sum of coefficients[m] * (inputs[m][i] - base[i]), without
  /// those whose bit of bits[m] is not set; nullptr: all.
  void (*combine_changes)(const Values& base, const Values* inputs, const std::uint64_t* const* bits,
                          const float* coefficients, std::size_t models, std::size_t size, float* out);
  /// out[i] = a[i] - b[i]
  void (*subtract)(const Values& a, const Values& b, std::size_t size, float* out);
  /// sum of a[i] * b[i], the products exact.
  double (*dot)(const Values& a, const Values& b, std::size_t size);
  /// sums [models, 2]: of |inputs[m][i] - base[i]|, of all and of those whose bit of bits[m] is set. In float
  /// over 32 of them, in double over these: within 2e-6 of the sum, with many elements within 1e-7.
  void (*sum_changes)(const Values& base, const Values* inputs, const std::uint64_t* const* bits,
                      std::size_t models, std::size_t size, double* sums);
  /// Bits of the magnitudes above a code and of those that equal it; returns how many do. No bit after
  /// `size`.
  std::size_t (*compare_changes)(const Change& change, std::uint32_t code, std::size_t size,
                                 std::uint64_t* above, std::uint64_t* equal);
  /// Writes the codes that lie in the range, in order, and adds the number of those at or above range.high to
  /// `above`; returns how many were written.  codes  room for `size` + 16
  std::size_t (*select_changes)(const Change& change, CodeRange range, std::size_t size, std::uint32_t* codes,
                                std::size_t* above);

  /// out[i] = base[i] + lambda * merged change, of changes that are weighted, voted on and summed as TIES
  /// does (Yadav et al. 2023, arXiv:2306.01708, with mergekit's vote on weighted changes):
  ///   e_m = weights[m] * (inputs[m][i] - base[i]), 0 where the bit of bits[m] is not set (nullptr: all are)
  ///   sign = the sign of sum e_m, + if it is 0
  ///   change = sum of the e_m that have that sign, divided by the sum of their shares
  ///   shares  [models], above 0; nullptr: no division
  void (*vote)(const Values& base, const Values* inputs, const std::uint64_t* const* bits,
               const float* weights, const float* shares, std::size_t models, float lambda, std::size_t size,
               float* out);

  /// Words of Philox 4x32-10, 64 a group of 16 blocks: words 2 j and 2 j + 1 are the first two of block j,
  /// words 32 + 2 j and 33 + 2 j its other two.
  ///   counters are {block, rest}; blocks of a group are consecutive from first_block + 16 * group
  void (*philox)(const std::uint32_t* counter_rest, const std::uint32_t* key, std::uint32_t first_block,
                 std::size_t groups, std::uint32_t* words);
  /// Bit i % 64 of bits[i / 64] set where words[i] < threshold. Reads words up to the next multiple of 64.
  void (*below)(const std::uint16_t* words, std::uint16_t threshold, std::size_t size, std::uint64_t* bits);
  /// Sorts a row's magnitudes into 256 bins, 32 an octave, down from the largest; the last one holds all
  /// below 1/256 of the largest. places [size]: PlaceOfBin of each; counts [256]: how many lie in each, by
  /// place.
  ///   codes  [size], to work in
  void (*magnitude_bins)(const Change& row, std::size_t size, std::uint32_t* codes, std::uint8_t* places,
                         std::uint32_t* counts);
  /// The mean rank of what lies in each bin, as a probability: table[place] = lowest + step * (twice the
  /// rank), where the largest of size values has rank size - 1 and those of a bin share the mean.  counts
  /// [256], of magnitude_bins
  void (*rank_table)(const std::uint32_t* counts, std::uint32_t size, float lowest, float step,
                     std::uint16_t* table);
  /// Bit i % 64 of bits[i / 64] set where words[i] < table[places[i]]; all table entries lie in [low, high].
  /// Words and places are read up to the next multiple of 64.
  void (*below_table)(const std::uint16_t* words, const std::uint8_t* places, const std::uint16_t* table,
                      std::uint16_t low, std::uint16_t high, std::size_t size, std::uint64_t* bits);
  /// sums [count]: of inputs[a][i]^2 in float, sixteen lanes: for checks, of a few thousand values a time.
  void (*sum_squares)(const Values* inputs, std::size_t count, std::size_t size, float* sums);
};

const ElementKernels& ScalarElementKernels();
const ElementKernels& Avx2ElementKernels();
const ElementKernels& Avx512ElementKernels();
/// The table of ChosenTarget().
const ElementKernels& Elements();

/// The sum of the squared lengths of vectors that are stored alike, to about 1e-6: for checks.
double SquaredLengths(std::span<const Values> vectors, std::size_t size);

}  // namespace forge::merge
