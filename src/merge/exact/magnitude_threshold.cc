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
constexpr double kSampleDeviations = 4, kSampleMargin = 0.003;
constexpr std::size_t kSmallestSample = 1000;
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

void MagnitudeThreshold::SetRange(CodeRange range) {
  range_ = range;
  for (shift_ = 0; (range.high - range.low - 1) >> shift_ >= kBins;) ++shift_;
  counts_.clear();
}

void MagnitudeThreshold::Sample(const float* values, std::size_t size) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < size; ++i) {
    std::uint32_t code;
    static_assert(sizeof code == sizeof values[i]);
    std::copy_n(reinterpret_cast<const unsigned char*>(values + i), sizeof code,
                reinterpret_cast<unsigned char*>(&code));
    sample_.push_back(code & 0x7FFFFFFF);
  }
}

void MagnitudeThreshold::UseSample() {
  is_sampling_ = false;
  std::vector<std::uint32_t> sample = std::exchange(sample_, {});
  if (sample.size() < kSmallestSample) return;
  const double at = static_cast<double>(k_) / static_cast<double>(n_);
  const double margin =
      kSampleDeviations * std::sqrt(at * (1 - at) / static_cast<double>(sample.size())) + kSampleMargin;
  const auto last = static_cast<double>(sample.size() - 1);
  auto unsorted = sample.begin();  // what stands before it is larger than what is looked for next
  const auto pick = [&](double part) {
    const auto place = sample.begin() + static_cast<std::ptrdiff_t>(part * last);
    std::nth_element(unsorted, place, sample.end(), std::greater<>());
    unsorted = place;
    return *place;
  };
  const std::uint32_t high = at - margin <= 0 ? kEndOfCodes : pick(at - margin) + 1;
  const std::uint32_t low = at + margin >= 1 ? 0 : pick(at + margin);
  SetRange({low, high});
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

void MagnitudeThreshold::Observe(const float* values, std::size_t size) {
  if (is_sampling_) return Sample(values, size);
  thread_local std::vector<std::uint32_t> inside;
  inside.resize(std::max(inside.size(), size + 1));  // select_range writes before it knows whether to keep
  std::unique_ptr<Counts> counts = TakeCounts();
  const std::size_t found = Elements().select_range(values, size, range_, inside.data(), &counts->above);
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
