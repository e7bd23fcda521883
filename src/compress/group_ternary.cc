// SPDX-License-Identifier: Apache-2.0
#include "compress/group_ternary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::compress {
namespace {

constexpr float kLargestHalf = 65504;
constexpr std::size_t kWeightsPerTask = 1 << 15;  // about 0.2 ms, well above the cost of a wake-up

constexpr double kSafety = 1 + 1e-9;  // thresholds are sums in another order than those of the prefixes

/// Two sums in a register of every x86-64 processor, four such registers side by side.
using Doubles = double __attribute__((vector_size(16)));
using Mask = std::int64_t __attribute__((vector_size(16)));
constexpr std::size_t kLanes = 2, kStep = 4 * kLanes;

Doubles Load(const double* values) { return Doubles{values[0], values[1]}; }

/// One group: |w|, the weights h and their products (exact: both factors have 24 bits), filled up with zeros
/// to whole steps.
struct Group {
  std::array<double, kMaxGroup> magnitudes, h, products;
  std::size_t size = 0;
};

void Fill(std::span<const float> weights, std::span<const float> h, Group& group) {
  const std::size_t count = weights.size();
  group.size = (count + kStep - 1) / kStep * kStep;
  for (std::size_t i = 0; i < count; ++i) group.magnitudes[i] = std::fabs(weights[i]);
  if (h.empty())
    std::fill_n(group.h.begin(), count, 1.0);
  else
    std::copy_n(h.begin(), count, group.h.begin());
  for (std::size_t i = 0; i < count; ++i) group.products[i] = group.h[i] * group.magnitudes[i];
  for (std::size_t i = count; i < group.size; ++i) group.magnitudes[i] = group.h[i] = group.products[i] = 0;
}

struct Sums {
  double product = 0, total = 0;  // of h |w|, of h
  double mean() const { return total > 0 ? product / total : 0; }
};

/// Of the weights with |w| >= threshold.
Sums SumsFrom(const Group& group, double threshold) {
  const Doubles limit{threshold, threshold};
  Doubles products[kStep / kLanes]{}, totals[kStep / kLanes]{};
  for (std::size_t i = 0; i < group.size; i += kStep)
    for (std::size_t r = 0; r < kStep / kLanes; ++r) {
      const std::size_t at = i + r * kLanes;
      const Mask is_in = Load(&group.magnitudes[at]) >= limit;  // all bits of a lane, or none
      products[r] += std::bit_cast<Doubles>(std::bit_cast<Mask>(Load(&group.products[at])) & is_in);
      totals[r] += std::bit_cast<Doubles>(std::bit_cast<Mask>(Load(&group.h[at])) & is_in);
    }
  const Doubles product = (products[0] + products[1]) + (products[2] + products[3]),
                total = (totals[0] + totals[1]) + (totals[2] + totals[3]);
  return {product[0] + product[1], total[0] + total[1]};
}

/// Collects the weights with low <= |w| < high; returns how many there are.
std::size_t WeightsBetween(const Group& group, double low, double high,
                           std::array<std::uint32_t, kMaxGroup>& indices) {
  const Doubles from{low, low}, to{high, high};
  std::size_t count = 0;
  for (std::size_t i = 0; i < group.size; i += kLanes) {
    const Doubles magnitudes = Load(&group.magnitudes[i]);
    const Mask is_in = (magnitudes >= from) & (magnitudes < to);
    if ((is_in[0] | is_in[1]) == 0) continue;
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      if (is_in[lane] != 0) indices[count++] = static_cast<std::uint32_t>(i + lane);
  }
  return count;
}

/// The threshold alpha / 2 that gives itself back, from a first one above or below all such: the way there is
/// monotone, because a higher threshold leaves a higher mean, so each step but the last changes the support.
double SettledThreshold(const Group& group, double threshold) {
  for (std::size_t step = 0; step <= group.size; ++step) {
    const double next = SumsFrom(group, threshold).mean() / 2;
    if (next == threshold || next == 0) return next;
    threshold = next;
  }
  return threshold;
}

/// The support is what is at least `least`.
struct Solution {
  float scale = 0;
  float least = std::numeric_limits<float>::infinity();
};

/// The smallest float that is not below the value.
float RoundUp(double value) {
  const auto rounded = static_cast<float>(value);
  return double{rounded} < value ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

/// The best support settles on its own threshold, as the lowest and the highest one do that can be reached,
/// so only weights between these two have to be sorted and tried.
Solution BestPrefix(std::span<const float> weights, const Group& group) {
  const double lowest = SettledThreshold(group, 0);
  if (lowest == 0) return {};
  double largest = 0;
  for (const float weight : weights) largest = std::max(largest, double{std::fabs(weight)});
  const double high = SettledThreshold(group, largest / 2) * kSafety;
  std::array<std::uint32_t, kMaxGroup> between;
  const std::size_t count = WeightsBetween(group, lowest / kSafety, high, between);
  std::sort(between.begin(), between.begin() + static_cast<std::ptrdiff_t>(count),
            [&](std::uint32_t a, std::uint32_t b) {
              return group.magnitudes[a] != group.magnitudes[b] ? group.magnitudes[a] > group.magnitudes[b]
                                                                : a < b;
            });
  Sums sums = SumsFrom(group, high);
  double best_gain = sums.total > 0 ? sums.product * sums.product / sums.total : 0, scale = sums.mean();
  float least = RoundUp(high);
  for (std::size_t k = 0; k < count; ++k) {
    sums.product += group.products[between[k]];
    sums.total += group.h[between[k]];
    const double gain = sums.total > 0 ? sums.product * sums.product / sums.total : 0;
    if (gain > 0 && gain >= best_gain) {
      best_gain = gain;
      scale = sums.mean();
      least = static_cast<float>(group.magnitudes[between[k]]);
    }
  }
  const float rounded = RoundToHalf(std::min(static_cast<float>(scale), kLargestHalf));
  return rounded > 0 ? Solution{rounded, least} : Solution{};
}

Solution Solve(std::span<const float> weights, std::span<const float> h) {
  Group group;
  Fill(weights, h, group);
  const Solution best = BestPrefix(weights, group);
  if (best.scale > 0 || h.empty()) return best;
  if (SumsFrom(group, 0).product > 0) return best;  // a scale that binary16 rounds to 0
  Fill(weights, {}, group);
  return BestPrefix(weights, group);
}

/// Calls task(row, first column) for every group of every row.
template <class Task>
void ForEachGroup(std::int64_t out, std::int64_t in, int group, const Task& task) {
  FORGE_CHECK(group > 0 && group <= kMaxGroup && in % group == 0);
  const auto columns = static_cast<std::size_t>(in), size = static_cast<std::size_t>(group);
  ParallelFor(static_cast<std::size_t>(out), std::max<std::size_t>(1, kWeightsPerTask / columns),
              [&](std::size_t begin, std::size_t end) {
                for (std::size_t row = begin; row < end; ++row)
                  for (std::size_t first = 0; first < columns; first += size) task(row, first);
              });
}

}  // namespace

float TernarizeGroup(std::span<const float> weights, std::span<const float> h, std::int8_t* codes) {
  FORGE_CHECK(weights.size() <= kMaxGroup && (h.empty() || h.size() == weights.size()));
  const Solution solution = Solve(weights, h);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const int sign = weights[i] > 0 ? 1 : -1;
    codes[i] = static_cast<std::int8_t>(std::fabs(weights[i]) >= solution.least ? sign : 0);
  }
  return solution.scale;
}

model::TernaryTensor TernarizeTensor(std::span<const float> weights, std::int64_t out, std::int64_t in,
                                     int group, std::span<const float> h) {
  FORGE_CHECK(weights.size() == static_cast<std::size_t>(out * in) &&
              (h.empty() || h.size() == static_cast<std::size_t>(in)));
  const auto columns = static_cast<std::size_t>(in), size = static_cast<std::size_t>(group);
  model::TernaryTensor tensor{.shape = {out, in}, .group = group};
  tensor.codes.resize(weights.size());
  tensor.scales.resize(weights.size() / size);
  ForEachGroup(out, in, group, [&](std::size_t row, std::size_t first) {
    const std::size_t start = row * columns + first;
    tensor.scales[start / size] = TernarizeGroup(
        weights.subspan(start, size), h.empty() ? h : h.subspan(first, size), tensor.codes.data() + start);
  });
  return tensor;
}

void TernarizeValues(const float* weights, std::int64_t out, std::int64_t in, int group,
                     std::span<const float> h, float* quantized) {
  FORGE_CHECK(h.empty() || h.size() == static_cast<std::size_t>(in));
  const auto columns = static_cast<std::size_t>(in), size = static_cast<std::size_t>(group);
  ForEachGroup(out, in, group, [&](std::size_t row, std::size_t first) {
    const float* source = weights + row * columns + first;
    float* target = quantized + row * columns + first;
    const Solution solution = Solve({source, size}, h.empty() ? h : h.subspan(first, size));
    for (std::size_t i = 0; i < size; ++i)
      target[i] = std::fabs(source[i]) >= solution.least ? std::copysign(solution.scale, source[i]) : 0.0f;
  });
}

}  // namespace forge::compress
