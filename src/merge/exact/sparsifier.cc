// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/sparsifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"

namespace forge::merge {
namespace {

constexpr std::uint32_t kInfinityCode = 0x7F800000;

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
                       std::span<const std::size_t> here, std::span<float> changes) const {
  if (kind_ == Kind::kNone) std::fill(changes.begin(), changes.end(), 0.0f);
  if (kind_ == Kind::kMagnitude) ApplyMagnitude(before, here, changes);
  if (!draws()) return;
  thread_local std::vector<std::uint64_t> bits;
  bits.resize(changes.size() / 64 + 1);
  KeepAtRandom(first, changes, bits.data());
  Elements().keep_bits(changes.data(), changes.size(), bits.data(), changes.data());
}

/// Away from the thresholds a range of codes decides. Values that equal one are kept up to a number of them:
/// mostly a piece lies wholly before or after the place where that number is reached.
void Sparsifier::ApplyMagnitude(std::span<const std::size_t> before, std::span<const std::size_t> here,
                                std::span<float> changes) const {
  struct Border {
    std::uint32_t code;
    std::size_t left;  // equal values still to be counted as larger
    bool decided;      // all or none of this piece
  };
  std::size_t counter = 0;
  const auto border = [&](const MagnitudeThreshold* threshold) {
    Border result{threshold->code(), changes.size(), true};
    if (!NeedsCount(threshold)) return result;
    result.left = threshold->num_equal_kept() - std::min(threshold->num_equal_kept(), before[counter]);
    result.decided = result.left == 0 || here[counter] <= result.left;
    ++counter;
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

void Sparsifier::KeepAtRandom(std::size_t first, std::span<const float> changes, std::uint64_t* bits) const {
  thread_local std::vector<std::uint32_t> words;
  thread_local std::vector<std::uint8_t> bins;
  // Two elements a word, so 128 a group; one group more, since bits are made 64 at a time.
  const std::size_t start = first / 128 * 128, offset = first - start;
  const std::size_t groups = (offset + changes.size() + 127) / 128 + 1;
  words.resize(groups * 64);
  Elements().philox(counter_, key_, static_cast<std::uint32_t>(start / 8), groups, words.data());
  const auto* halves = reinterpret_cast<const std::uint16_t*>(words.data()) + offset;
  if (kind_ == Kind::kRandom) return Elements().below(halves, ToThreshold(density_), changes.size(), bits);
  bins.resize(changes.size() + 64);
  // Rows start anywhere, words of bits every 64 elements: each row makes its bits from its own start.
  thread_local std::vector<std::uint64_t> row_bits;
  row_bits.resize(columns_ / 64 + 1);
  std::fill(bits, bits + changes.size() / 64 + 1, 0);
  for (std::size_t row = 0; row < changes.size(); row += columns_) {
    const DellaTable table = TableOf(changes.subspan(row, columns_), bins.data());
    Elements().below_table(halves + row, bins.data(), table.thresholds.data(), table.low, table.high,
                           columns_, row_bits.data());
    PlaceBits(row_bits, columns_, row, bits);
  }
}

/// What a magnitude of each bin is kept below: values of a bin share their mean rank.
Sparsifier::DellaTable Sparsifier::TableOf(std::span<const float> row, std::uint8_t* bins) const {
  std::array<std::uint32_t, kDellaBins> counts;
  Elements().magnitude_bins(row.data(), row.size(), bins, counts.data());
  // Twice the rank, counted down from the largest value, which has rank n - 1.
  const auto last = static_cast<std::uint32_t>(row.size() - 1);
  std::array<std::int32_t, kDellaBins> doubled_rank;
  std::uint32_t above = 0;
  for (std::size_t bin = 0; bin < kDellaBins; ++bin) {
    doubled_rank[bin] = static_cast<std::int32_t>(2 * (last - above) + 1 - counts[bin]);
    above += counts[bin];
  }
  DellaTable table;
  const auto lowest = static_cast<float>((density_ - epsilon_) * 0x1p16);
  const auto step = last > 0 ? static_cast<float>(epsilon_ * 0x1p16 / last) : 0.0f;
  for (std::size_t bin = 0; bin < kDellaBins; ++bin)
    table.thresholds[bin] = static_cast<std::uint16_t>(
        static_cast<std::int32_t>(lowest + step * static_cast<float>(doubled_rank[bin])));
  if (last == 0) table.thresholds.fill(ToThreshold(density_));
  table.low = static_cast<std::uint16_t>(lowest);
  table.high = ToThreshold(density_ + epsilon_);
  return table;
}

}  // namespace forge::merge
