// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/magnitude_threshold.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/check.h"

namespace forge::merge {
namespace {

constexpr std::uint32_t kEndOfCodes = 0x7F800001;  // after infinity
constexpr std::size_t kBins = 1 << 16;
/// Codes that a thread gathers before it counts in bins instead.
constexpr std::size_t kMostCodes = 1 << 20;
/// Where a sample of m puts the part p of all values: p, give or take so many times sqrt(p (1 - p) / m), and
/// a bit for values that resemble their neighbours in the sample.
constexpr double kSampleDeviations = 3, kSampleMargin = 0.003;
constexpr std::size_t kSmallestSample = 1000;
constexpr int kSampleShift = 17;         // bins of a sample: 64 an octave
constexpr std::size_t kSpareCodes = 16;  // room that select_changes asks for
/// Below this many values a sample saves less than it costs.
constexpr std::size_t kWorthSampling = 1 << 16;

}  // namespace

MagnitudeThreshold::MagnitudeThreshold(std::size_t n, std::size_t k)
    : MagnitudeThreshold(n, k, n >= kWorthSampling) {}

MagnitudeThreshold::MagnitudeThreshold(std::size_t n, std::size_t k, bool samples_first)
    : n_(n), k_(k), is_sampling_(samples_first) {
  FORGE_CHECK(k >= 1 && k <= n);
  SetRange({0, kEndOfCodes});
}

MagnitudeThreshold::MagnitudeThreshold(std::size_t n, std::size_t k, CodeRange range)
    : MagnitudeThreshold(n, k, false) {
  SetRange(range);
}

void MagnitudeThreshold::SetRange(CodeRange range) {
  range_ = range;
  for (shift_ = 0; (range.high - range.low - 1) >> shift_ >= kBins;) ++shift_;
  counts_.clear();
}

void MagnitudeThreshold::Sample(const Change& changes, std::size_t size) {
  thread_local std::vector<std::uint32_t> codes;
  codes.resize(std::max(codes.size(), size + kSpareCodes));
  std::size_t above = 0;
  const std::size_t found = Elements().select_changes(changes, {0, kEndOfCodes}, size, codes.data(), &above);
  const std::lock_guard lock(mutex_);
  sample_.resize((kEndOfCodes >> kSampleShift) + 1);
  sample_size_ += found;
  for (std::size_t i = 0; i < found; ++i) ++sample_[codes[i] >> kSampleShift];
}

/// The bins that hold the part k / n of the sample, counted from the largest, give or take the margin.
void MagnitudeThreshold::UseSample() {
  is_sampling_ = false;
  const std::vector<std::uint32_t> bins = std::exchange(sample_, {});
  if (sample_size_ < kSmallestSample) return;
  const auto size = static_cast<double>(sample_size_);
  const double at = static_cast<double>(k_) / static_cast<double>(n_);
  const double margin = kSampleDeviations * std::sqrt(at * (1 - at) / size) + kSampleMargin;
  std::size_t bin = bins.size();  // all of the sample that is counted lies in it and in those after it
  double counted = 0;
  const auto pass = [&](double part) {
    while (bin > 0 && counted <= part * size) counted += bins[--bin];
  };
  pass(at - margin);
  const std::uint32_t high =
      at - margin <= 0 ? kEndOfCodes : static_cast<std::uint32_t>(bin + 1) << kSampleShift;
  pass(at + margin);
  const std::uint32_t low = at + margin >= 1 ? 0 : static_cast<std::uint32_t>(bin) << kSampleShift;
  SetRange({low, std::min(high, kEndOfCodes)});
}

std::unique_ptr<MagnitudeThreshold::Counts> MagnitudeThreshold::TakeCounts() {
  const std::lock_guard lock(mutex_);
  if (!counts_.empty()) {
    std::unique_ptr<Counts> counts = std::move(counts_.back());
    counts_.pop_back();
    return counts;
  }
  return std::make_unique<Counts>();
}

void MagnitudeThreshold::CountInBins(Counts& counts) const {
  if (counts.bins.empty()) counts.bins.resize(((range_.high - range_.low - 1) >> shift_) + 1);
  for (const std::uint32_t code : counts.codes) ++counts.bins[(code - range_.low) >> shift_];
  counts.codes.clear();
}

void MagnitudeThreshold::Observe(const Change& changes, std::size_t size) {
  if (is_sampling_) return Sample(changes, size);
  thread_local std::vector<std::uint32_t> inside;
  inside.resize(std::max(inside.size(), size + kSpareCodes));
  std::unique_ptr<Counts> counts = TakeCounts();
  const std::size_t found = Elements().select_changes(changes, range_, size, inside.data(), &counts->above);
  counts->codes.insert(counts->codes.end(), inside.begin(),
                       inside.begin() + static_cast<std::ptrdiff_t>(found));
  if (!counts->bins.empty() || counts->codes.size() > kMostCodes) CountInBins(*counts);
  const std::lock_guard lock(mutex_);
  counts_.push_back(std::move(counts));
}

void MagnitudeThreshold::EndPass() {
  if (is_sampling_) return UseSample();
  FORGE_CHECK(!counts_.empty());
  Counts total = std::move(*counts_.front());
  const bool in_bins =
      std::any_of(counts_.begin() + 1, counts_.end(), [](const auto& c) { return !c->bins.empty(); }) ||
      !total.bins.empty();
  if (in_bins) CountInBins(total);
  for (std::size_t c = 1; c < counts_.size(); ++c) {
    Counts& more = *counts_[c];
    if (in_bins) CountInBins(more);
    total.above += more.above;
    for (std::size_t b = 0; b < total.bins.size(); ++b) total.bins[b] += more.bins[b];
    total.codes.insert(total.codes.end(), more.codes.begin(), more.codes.end());
  }
  if (total.above >= k_) return SetRange({range_.high, kEndOfCodes});  // the sample misled
  if (!in_bins) return FinishWith(total.codes, total.above);
  std::size_t above = total.above;
  for (std::size_t bin = total.bins.size(); bin-- > 0;) {
    if (above + total.bins[bin] < k_) {
      above += total.bins[bin];
      continue;
    }
    const std::uint32_t low = range_.low + (static_cast<std::uint32_t>(bin) << shift_);
    if (shift_ > 0) return SetRange({low, std::min(range_.high, low + (1u << shift_))});
    done_ = true;
    code_ = low;
    num_above_ = above;
    num_equal_ = total.bins[bin];
    counts_.clear();
    return;
  }
  SetRange({0, range_.low});  // the sample misled the other way
}

void MagnitudeThreshold::FinishWith(std::vector<std::uint32_t>& inside, std::size_t above) {
  if (above + inside.size() < k_) return SetRange({0, range_.low});  // the sample misled the other way
  // Of 2^11 bins of the range the right one, so that few codes have to be sorted.
  constexpr int kBinBits = 11;
  int shift = 0;
  while ((range_.high - range_.low - 1) >> shift >= 1u << kBinBits) ++shift;
  std::vector<std::uint32_t> bins(1u << kBinBits);
  for (const std::uint32_t code : inside) ++bins[(code - range_.low) >> shift];
  std::size_t bin = bins.size() - 1;
  for (; above + bins[bin] < k_; --bin) above += bins[bin];
  std::erase_if(inside, [&](std::uint32_t code) { return (code - range_.low) >> shift != bin; });
  const auto place = inside.begin() + static_cast<std::ptrdiff_t>(k_ - above - 1);
  std::nth_element(inside.begin(), place, inside.end(), std::greater<>());
  code_ = *place;
  num_above_ = above + static_cast<std::size_t>(std::count_if(
                           inside.begin(), place, [&](std::uint32_t code) { return code > code_; }));
  num_equal_ = static_cast<std::size_t>(std::count(inside.begin(), inside.end(), code_));
  done_ = true;
  counts_.clear();
}

bool RunningCounts::Add(std::size_t index, std::span<std::size_t> counts) {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [&] { return next_ == index || aborted_; });
  if (aborted_) return false;
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    totals_[i] += counts[i];
    counts[i] = totals_[i] - counts[i];
  }
  ++next_;
  added_.notify_all();
  return true;
}

void RunningCounts::Restart(std::size_t counters) {
  totals_.assign(counters, 0);
  next_ = 0;
}

void RunningCounts::Abort() {
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  added_.notify_all();
}

}  // namespace forge::merge
