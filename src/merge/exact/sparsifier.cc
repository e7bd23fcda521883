// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/sparsifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/error.h"
#include "base/philox.h"

namespace forge::merge {
namespace {

constexpr std::uint32_t kInfinityCode = 0x7F800000;
constexpr int kDellaShift = 17;                // 64 bins an octave
constexpr std::uint32_t kDellaBins = 64 * 12;  // the last holds all that is below 1/4096 of the row's largest

std::uint32_t ToThreshold(double probability) {
  return static_cast<std::uint32_t>(std::clamp(probability * 0x1p32, 0.0, 0x1p32 - 1));
}

std::uint32_t Code(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFF; }

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
  lower_ = std::make_unique<MagnitudeThreshold>(n, kept + skipped);
  if (skipped > 0) upper_ = std::make_unique<MagnitudeThreshold>(n, skipped);
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

void Sparsifier::CountEqual(std::span<const float> changes, std::vector<std::size_t>& counts) const {
  for (const MagnitudeThreshold* threshold : {lower_.get(), upper_.get()})
    if (NeedsCount(threshold))
      counts.push_back(
          Elements().count_range(changes.data(), changes.size(), {threshold->code(), threshold->code() + 1}));
}

void Sparsifier::Apply(std::size_t first, std::span<const std::size_t> before,
                       std::span<float> changes) const {
  if (kind_ == Kind::kNone) std::fill(changes.begin(), changes.end(), 0.0f);
  if (kind_ == Kind::kMagnitude) ApplyMagnitude(before, changes);
  if (kind_ == Kind::kRandom || kind_ == Kind::kDella) ApplyRandom(first, changes);
}

/// Away from the thresholds a range of codes decides. Values that equal one are kept up to a number of them:
/// mostly a piece lies wholly before or after the place where that number is reached.
void Sparsifier::ApplyMagnitude(std::span<const std::size_t> before, std::span<float> changes) const {
  struct Border {
    std::uint32_t code;
    std::size_t left;  // equal values still to be counted as larger
    bool decided;      // all or none of this piece
  };
  std::size_t counter = 0;
  const auto border = [&](const MagnitudeThreshold* threshold) {
    Border result{threshold->code(), changes.size(), true};
    if (!NeedsCount(threshold)) return result;
    const std::size_t earlier = before[counter++];
    result.left = threshold->num_equal_kept() - std::min(threshold->num_equal_kept(), earlier);
    const std::size_t here = result.left == 0 ? 0
                                              : Elements().count_range(changes.data(), changes.size(),
                                                                       {result.code, result.code + 1});
    result.decided = result.left == 0 || here <= result.left;
    return result;
  };
  Border low = border(lower_.get());
  Border high = upper_ ? border(upper_.get()) : Border{kInfinityCode, 0, true};
  const auto first_code = [](const Border& b) { return b.left > 0 ? b.code : b.code + 1; };
  if (low.decided && high.decided) {
    Elements().keep_range(changes.data(), changes.size(), {first_code(low), first_code(high)},
                          changes.data());
    return;
  }
  for (float& value : changes) {
    const std::uint32_t code = Code(value);
    bool in_low = code > low.code, in_high = code > high.code;
    if (code == low.code && low.left > 0) in_low = true, --low.left;
    if (code == high.code && high.left > 0) in_high = true, --high.left;
    if (!in_low || in_high) value = 0;
  }
}

void Sparsifier::ApplyRandom(std::size_t first, std::span<float> changes) const {
  thread_local std::vector<std::uint32_t> words, thresholds;
  thread_local std::vector<std::uint64_t> bits;
  const std::size_t start = first / 64 * 64, offset = first - start;
  const std::size_t groups = (offset + changes.size() + 63) / 64 + 1;  // one more: bits are made 64 at a time
  words.resize(groups * 64);
  bits.resize(changes.size() / 64 + 1);
  Elements().philox(counter_, key_, static_cast<std::uint32_t>(start / 4), groups, words.data());
  if (kind_ == Kind::kRandom) {
    Elements().below(words.data() + offset, ToThreshold(density_), changes.size(), bits.data());
  } else {
    thresholds.resize(changes.size() + 64);
    for (std::size_t row = 0; row < changes.size(); row += columns_)
      DellaThresholds(changes.subspan(row, columns_), thresholds.data() + row);
    Elements().below_each(words.data() + offset, thresholds.data(), changes.size(), bits.data());
  }
  Elements().keep_bits(changes.data(), changes.size(), bits.data(), changes.data());
}

void Sparsifier::DellaThresholds(std::span<const float> row, std::uint32_t* thresholds) const {
  std::uint32_t largest = 0;
  for (const float value : row) largest = std::max(largest, Code(value));
  std::array<std::uint32_t, kDellaBins> counts{};
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::uint32_t bin = std::min((largest - Code(row[i])) >> kDellaShift, kDellaBins - 1);
    thresholds[i] = bin;
    ++counts[bin];
  }
  std::array<std::uint32_t, kDellaBins> threshold_of;
  const double last = static_cast<double>(row.size()) - 1;
  double above = 0;  // values in larger bins
  for (std::uint32_t bin = 0; bin < kDellaBins; ++bin) {
    if (counts[bin] == 0) continue;
    const double count = counts[bin];
    const double rank = last - above - (count - 1) / 2;  // from 0, the smallest
    const double probability = last > 0 ? density_ - epsilon_ + 2 * epsilon_ * (rank / last) : density_;
    threshold_of[bin] = ToThreshold(probability);
    above += count;
  }
  for (std::size_t i = 0; i < row.size(); ++i) thresholds[i] = threshold_of[thresholds[i]];
}

}  // namespace forge::merge
