// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/sparsifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/philox.h"
#include "merge/exact/magnitude_table.h"

namespace forge::merge {
namespace {

std::uint16_t ToThreshold(double probability) {
  return static_cast<std::uint16_t>(std::clamp(std::round(probability * 0x1p16), 0.0, 0x1p16 - 1));
}

/// Adds `count` bits to `to`, from bit `first` on, which are zero there.
void PlaceBits(const std::vector<std::uint64_t>& from, std::size_t count, std::size_t first,
               std::uint64_t* to) {
  const std::size_t shift = first % 64;
  for (std::size_t word = 0; word * 64 < count; ++word) {
    const std::size_t left = count - word * 64;
    const std::uint64_t bits = left >= 64 ? from[word] : from[word] & ((std::uint64_t{1} << left) - 1);
    to[first / 64 + word] |= bits << shift;
    if (shift > 0 && shift + std::min<std::size_t>(left, 64) > 64)
      to[first / 64 + word + 1] |= bits >> (64 - shift);
  }
}

/// Adds to `bits` the first `count` bits of `more`.
void AddFirst(std::size_t count, const std::vector<std::uint64_t>& more, std::uint64_t* bits) {
  for (std::size_t word = 0; word < more.size() && count > 0; ++word) {
    std::uint64_t left = more[word];
    const auto here = static_cast<std::size_t>(std::popcount(left));
    for (std::size_t surplus = here; surplus > count; --surplus)
      left &= ~(std::uint64_t{1} << (63 - std::countl_zero(left)));
    bits[word] |= left;
    count -= std::min(count, here);
  }
}

[[noreturn]] void RefuseDella(const TensorTask& task, double density, double epsilon) {
  throw Error({.what = fmt::format("cannot merge {} by {}", task.name, task.method->name),
               .why = fmt::format("density {:g} and epsilon {:g} make probabilities outside 0 to 1", density,
                                  epsilon),
               .fix = "choose an epsilon below density and below 1 - density"});
}

}  // namespace

Sparsifier::Sparsifier(const TensorTask& task, std::size_t source, std::uint64_t seed)
    : columns_(task.columns()) {
  const std::string& method = task.method->name;
  const std::size_t n = task.size();
  density_ = task.parameters.Get("density", source);
  if (density_ >= 1 || method == "task_arithmetic") return;
  kind_ = Kind::kNone;
  if (density_ <= 0) return;
  if (method.starts_with("dare") || method.starts_with("della")) {
    kind_ = method.starts_with("dare") ? Kind::kRandom : Kind::kDella;
    const std::uint64_t key = (seed * 0x9E3779B97F4A7C15ULL) ^ StableHash("merge/keep");
    const std::uint64_t tensor = StableHash(task.name);
    key_[0] = static_cast<std::uint32_t>(key);
    key_[1] = static_cast<std::uint32_t>(key >> 32);
    counter_[0] = static_cast<std::uint32_t>(tensor);
    counter_[1] = static_cast<std::uint32_t>(tensor >> 32);
    counter_[2] = static_cast<std::uint32_t>(source);
    if (kind_ == Kind::kRandom) return;
    epsilon_ = task.parameters.Get("epsilon", source);
    if (density_ - epsilon_ <= 0 || density_ + epsilon_ >= 1) RefuseDella(task, density_, epsilon_);
    return;
  }
  auto kept = static_cast<std::size_t>(density_ * static_cast<double>(n));
  std::size_t skipped = 0;
  if (method == "ties") {
    kept = std::max<std::size_t>(kept, 1);
  } else {
    skipped = static_cast<std::size_t>(task.parameters.Get("gamma", source) * static_cast<double>(n));
    skipped = std::min(skipped, n - kept);
  }
  if (kept == 0) return;
  kind_ = Kind::kMagnitude;
  const MagnitudeTable* table = task.magnitudes.empty() ? nullptr : task.magnitudes[source];
  FORGE_CHECK(table == nullptr || table->size() == n);
  const auto find = [&](std::size_t k) {
    return table != nullptr ? std::make_unique<MagnitudeThreshold>(n, k, table->RangeOf(k))
                            : std::make_unique<MagnitudeThreshold>(n, k);
  };
  lower_ = find(kept + skipped);
  if (skipped > 0) upper_ = find(skipped);
}

std::vector<MagnitudeThreshold*> Sparsifier::OpenThresholds() {
  std::vector<MagnitudeThreshold*> open;
  for (MagnitudeThreshold* threshold : {lower_.get(), upper_.get()})
    if (threshold != nullptr && !threshold->done()) open.push_back(threshold);
  return open;
}

bool Sparsifier::NeedsCount(const MagnitudeThreshold* threshold) {
  return threshold != nullptr && threshold->num_equal_kept() < threshold->num_equal();
}

std::size_t Sparsifier::num_counts() const {
  return static_cast<std::size_t>(NeedsCount(lower_.get())) +
         static_cast<std::size_t>(NeedsCount(upper_.get()));
}

void Sparsifier::Compare(const Change& changes, std::size_t size, Marks& marks,
                         std::vector<std::size_t>& counts) const {
  const auto compare = [&](const MagnitudeThreshold* threshold, Marks::Threshold& found) {
    if (threshold == nullptr) return;
    found.above.resize(size / 64 + 1);
    found.equal.resize(size / 64 + 1);
    found.num_equal =
        Elements().compare_changes(changes, threshold->code(), size, found.above.data(), found.equal.data());
    if (NeedsCount(threshold)) counts.push_back(found.num_equal);
  };
  compare(lower_.get(), marks.lower);
  compare(upper_.get(), marks.upper);
}

void Sparsifier::Keep(std::size_t first, const Change& changes, std::size_t size, const Marks& marks,
                      std::span<const std::size_t> before, std::uint64_t* bits) const {
  if (kind_ == Kind::kAll || kind_ == Kind::kNone)
    std::fill(bits, bits + size / 64 + 1, kind_ == Kind::kAll ? ~std::uint64_t{0} : 0);
  else if (kind_ == Kind::kMagnitude)
    KeepByMagnitude(size, marks, before, bits);
  else
    KeepAtRandom(first, changes, size, bits);
}

/// Values above a threshold count as larger, and of those that equal it the first, up to a number of them.
void Sparsifier::KeepByMagnitude(std::size_t size, const Marks& marks, std::span<const std::size_t> before,
                                 std::uint64_t* bits) const {
  std::size_t counter = 0;
  const auto larger = [&](const MagnitudeThreshold* threshold, const Marks::Threshold& found,
                          std::uint64_t* larger_bits) {
    std::copy_n(found.above.begin(), size / 64 + 1, larger_bits);
    std::size_t left = found.num_equal;
    if (NeedsCount(threshold))
      left = threshold->num_equal_kept() - std::min(threshold->num_equal_kept(), before[counter++]);
    AddFirst(left, found.equal, larger_bits);
  };
  larger(lower_.get(), marks.lower, bits);
  if (!upper_) return;
  thread_local std::vector<std::uint64_t> largest;
  largest.resize(size / 64 + 1);
  larger(upper_.get(), marks.upper, largest.data());
  for (std::size_t word = 0; word < largest.size(); ++word) bits[word] &= ~largest[word];
}

/// A few thousand elements a time, whose random words stay in the first cache.
void Sparsifier::KeepAtRandom(std::size_t first, const Change& changes, std::size_t size,
                              std::uint64_t* bits) const {
  constexpr std::size_t kElements = 1 << 13;  // a multiple of 64, so that words of bits are made once
  if (kind_ == Kind::kRandom) {
    for (std::size_t at = 0; at < size; at += kElements) {
      const std::size_t count = std::min(kElements, size - at);
      Elements().below(RandomHalves(first + at, count), ToThreshold(density_), count, bits + at / 64);
    }
    return;
  }
  thread_local std::vector<std::uint64_t> row_bits;
  row_bits.resize(columns_ / 64 + 1);
  std::fill(bits, bits + size / 64 + 1, 0);
  const std::size_t most = std::max<std::size_t>(1, kElements / columns_) * columns_;
  for (std::size_t at = 0; at < size; at += most) {
    const std::size_t count = std::min(most, size - at);
    const std::uint16_t* halves = RandomHalves(first + at, count);
    for (std::size_t row = at; row < at + count; row += columns_) {
      KeepOfRow(changes.From(row), halves + (row - at), row_bits.data());
      PlaceBits(row_bits, columns_, row, bits);
    }
  }
}

/// The 16 random bits of each element from `first` on, in a buffer of the thread, up to the next 64 after
/// `size`.
const std::uint16_t* Sparsifier::RandomHalves(std::size_t first, std::size_t size) const {
  thread_local std::vector<std::uint32_t> words;
  constexpr std::size_t kGroup = 128;  // of philox: two elements a word
  const std::size_t start = first / kGroup * kGroup, offset = first - start;
  const std::size_t groups = (offset + size + 63 + kGroup - 1) / kGroup;
  words.resize(std::max(words.size(), groups * kGroup / 2));
  Elements().philox(counter_, key_, static_cast<std::uint32_t>(start / 8), groups, words.data());
  return reinterpret_cast<const std::uint16_t*>(words.data()) + offset;
}

/// One row of della. What a magnitude of each bin is kept below: values of a bin share their mean rank.
void Sparsifier::KeepOfRow(const Change& row, const std::uint16_t* halves, std::uint64_t* bits) const {
  thread_local std::vector<std::uint32_t> codes;
  thread_local std::vector<std::uint8_t> places;
  std::array<std::uint32_t, kDellaBins> counts;
  std::array<std::uint16_t, kDellaBins> thresholds;
  codes.resize(std::max(codes.size(), columns_));
  places.resize(std::max(places.size(), columns_ + 64));
  Elements().magnitude_bins(row, columns_, codes.data(), places.data(), counts.data());
  const auto last = static_cast<std::uint32_t>(columns_ - 1);
  const auto lowest = static_cast<float>((density_ - epsilon_) * 0x1p16);
  const auto step = last > 0 ? static_cast<float>(epsilon_ * 0x1p16 / last) : 0.0f;
  Elements().rank_table(counts.data(), last + 1, lowest, step, thresholds.data());
  if (last == 0) thresholds.fill(ToThreshold(density_));
  Elements().below_table(halves, places.data(), thresholds.data(), static_cast<std::uint16_t>(lowest),
                         ToThreshold(density_ + epsilon_), columns_, bits);
}

}  // namespace forge::merge
