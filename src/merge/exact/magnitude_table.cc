// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/magnitude_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace forge::merge {
namespace {

constexpr int kShift = 15;                         // codes of a bin: 2^15, of the 2^23 of an octave
constexpr std::uint32_t kEndOfCodes = 0x7F800001;  // after infinity
constexpr std::size_t kBins = (kEndOfCodes >> kShift) + 1;
constexpr std::size_t kSpareCodes = 16;  // room that select_changes asks for

/// The j-th of the ranks: 1 is the largest of `size` values.
std::size_t RankOf(std::size_t j, std::size_t size) {
  const std::size_t whole = (size - 1) / MagnitudeTable::kRanks, rest = (size - 1) % MagnitudeTable::kRanks;
  return 1 + whole * j + rest * j / MagnitudeTable::kRanks;
}

}  // namespace

MagnitudeTable::MagnitudeTable(std::size_t size, std::vector<std::uint16_t> bins)
    : size_(size), bins_(std::move(bins)) {
  if (size_ > 0 && bins_.size() == kRanks + 1 && bins_.front() < kBins &&
      std::is_sorted(bins_.begin(), bins_.end(), std::greater<>()))
    return;
  throw Error({.what = "cannot use a table of magnitudes",
               .why = fmt::format("its {} bins of {} values cannot be right", bins_.size(), size_),
               .fix = "make it again"});
}

MagnitudeTable MagnitudeTable::Of(const Change& change, std::size_t size) {
  constexpr std::size_t kPiece = 1 << 12;
  std::vector<std::uint32_t> codes(kPiece + kSpareCodes);
  std::vector<std::size_t> counts(kBins);
  for (std::size_t at = 0; at < size; at += kPiece) {
    std::size_t above = 0;
    const std::size_t found = Elements().select_changes(change.From(at), {0, kEndOfCodes},
                                                        std::min(kPiece, size - at), codes.data(), &above);
    for (std::size_t i = 0; i < found; ++i) ++counts[codes[i] >> kShift];
  }
  std::vector<std::uint16_t> bins;
  std::size_t bin = kBins - 1, up_to = counts[bin];  // values in this bin and above
  for (std::size_t j = 0; j <= kRanks; ++j) {
    while (up_to < RankOf(j, size)) up_to += counts[--bin];
    bins.push_back(static_cast<std::uint16_t>(bin));
  }
  return {size, std::move(bins)};
}

CodeRange MagnitudeTable::RangeOf(std::size_t k) const {
  FORGE_CHECK(k >= 1 && k <= size_);
  std::size_t j = 0;  // the last rank that is not after k, but for the very last
  while (j + 1 < kRanks && RankOf(j + 1, size_) <= k) ++j;
  return {std::uint32_t{bins_[j + 1]} << kShift,
          std::min((std::uint32_t{bins_[j]} + 1) << kShift, kEndOfCodes)};
}

}  // namespace forge::merge
