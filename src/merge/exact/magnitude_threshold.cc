// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/magnitude_threshold.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"

namespace forge::merge {
namespace {

constexpr std::uint32_t kEndOfCodes = 0x7F800001;  // after infinity
constexpr std::size_t kFewBins = 1 << 16, kManyBins = 1 << 20;
/// Where a sample puts the threshold, give or take: wide enough for values that resemble their neighbours.
constexpr double kSampleMargin = 0.01;
/// Below this many values the two passes from nothing cost less than clearing many bins.
constexpr std::size_t kWorthSampling = 1 << 20;

}  // namespace

bool MagnitudeThreshold::WantsSample(std::size_t n) { return n >= kWorthSampling; }

MagnitudeThreshold::MagnitudeThreshold(std::size_t n, std::size_t k) : n_(n), k_(k) {
  FORGE_CHECK(k >= 1 && k <= n);
  SetRange({0, kEndOfCodes});
}

void MagnitudeThreshold::SetRange(CodeRange range) {
  range_ = range;
  const std::size_t bins = range.high - range.low < kEndOfCodes && WantsSample(n_) ? kManyBins : kFewBins;
  for (shift_ = 0; (range.high - range.low - 1) >> shift_ >= bins;) ++shift_;
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
  const std::vector<std::uint32_t> sample = std::exchange(sample_, {});
  if (sample.size() < 1000 || !WantsSample(n_)) return;
  std::vector<std::uint32_t> sorted = sample;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double at = static_cast<double>(k_) / static_cast<double>(n_);
  const auto pick = [&](double part) {
    const double index = std::clamp(part, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<std::size_t>(index)];
  };
  const std::uint32_t low = at + kSampleMargin >= 1 ? 0 : pick(at + kSampleMargin);
  const std::uint32_t high = at - kSampleMargin <= 0 ? kEndOfCodes : pick(at - kSampleMargin) + 1;
  SetRange({low, high});
}

std::unique_ptr<MagnitudeThreshold::Counts> MagnitudeThreshold::TakeCounts() {
  const std::lock_guard lock(mutex_);
  if (!counts_.empty()) {
    std::unique_ptr<Counts> counts = std::move(counts_.back());
    counts_.pop_back();
    return counts;
  }
  auto counts = std::make_unique<Counts>();
  counts->bins.resize(((range_.high - range_.low - 1) >> shift_) + 1);
  return counts;
}

void MagnitudeThreshold::Observe(const float* values, std::size_t size) {
  thread_local std::vector<std::uint32_t> codes;
  codes.resize(size + 1);  // select_range writes before it knows whether to keep
  std::unique_ptr<Counts> counts = TakeCounts();
  const std::size_t found = Elements().select_range(values, size, range_, codes.data(), &counts->above);
  for (std::size_t i = 0; i < found; ++i) ++counts->bins[(codes[i] - range_.low) >> shift_];
  const std::lock_guard lock(mutex_);
  counts_.push_back(std::move(counts));
}

void MagnitudeThreshold::EndPass() {
  FORGE_CHECK(!counts_.empty());
  Counts total = std::move(*counts_.front());
  for (std::size_t c = 1; c < counts_.size(); ++c) {
    total.above += counts_[c]->above;
    for (std::size_t b = 0; b < total.bins.size(); ++b) total.bins[b] += counts_[c]->bins[b];
  }
  if (total.above >= k_) return SetRange({range_.high, kEndOfCodes});  // the sample misled
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
