// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "merge/kernels/element_kernels.h"

namespace forge::merge {

/// Where the magnitudes of a change lie: for some ranks, spread evenly from the largest to the smallest
/// value, the bin of codes (256 an octave) that holds the value of that rank. Says for any k a short range of
/// codes that surely holds the k-th largest, so that a MagnitudeThreshold needs no sample and picks among few
/// values. Exact: it is made of a count of all values.
class MagnitudeTable {
 public:
  static constexpr std::size_t kRanks = 512;

  /// Of all magnitudes of a change of `size` >= 1 values. One pass.
  static MagnitudeTable Of(const Change& change, std::size_t size);
  /// As bins() gave them. Throws Error(kInput) for what cannot be the bins of `size` values.
  MagnitudeTable(std::size_t size, std::vector<std::uint16_t> bins);

  std::size_t size() const { return size_; }
  /// [kRanks + 1], not rising.
  const std::vector<std::uint16_t>& bins() const { return bins_; }
  /// 1 <= k <= size
  CodeRange RangeOf(std::size_t k) const;

 private:
  std::size_t size_;
  std::vector<std::uint16_t> bins_;
};

}  // namespace forge::merge
