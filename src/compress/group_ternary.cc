// SPDX-License-Identifier: Apache-2.0
#include "compress/group_ternary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::compress {
namespace {

constexpr float kLargestHalf = 65504;
constexpr std::size_t kWeightsPerTask = 1 << 14;  // about 0.5 ms of sorting, well above the cost of a wake-up

/// The best prefix of the sort, as its length and its scale.
struct Prefix {
  std::size_t length = 0;
  double scale = 0;
};

/// keys [n] ascending: |w| falls, then the index rises. weight_of(i) is h_i.
template <class WeightOf>
Prefix BestPrefix(std::span<const float> weights, std::span<const std::uint64_t> keys, WeightOf weight_of) {
  Prefix best;
  double sum = 0, total = 0, best_gain = 0;
  for (std::size_t k = 0; k < keys.size(); ++k) {
    const auto index = static_cast<std::uint32_t>(keys[k]);
    const double magnitude = std::fabs(weights[index]);
    if (magnitude == 0) break;
    const double h = weight_of(index);
    sum += h * magnitude;
    total += h;
    const double gain = total > 0 ? sum * sum / total : 0;
    if (gain > 0 && gain >= best_gain) {
      best_gain = gain;
      best = {k + 1, sum / total};
    }
  }
  return best;
}

/// Sorts the group and returns its scale; keys[0 .. length) is the support.
float Solve(std::span<const float> weights, std::span<const float> h, std::uint64_t* keys,
            std::size_t& length) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    // The bits of a float >= 0 are ordered as it is; inverted, the largest comes first.
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(weights[i]) & 0x7fffffffu;
    keys[i] = std::uint64_t{~magnitude} << 32 | i;
  }
  std::sort(keys, keys + weights.size());
  const std::span<const std::uint64_t> sorted(keys, weights.size());
  Prefix best;
  if (!h.empty()) best = BestPrefix(weights, sorted, [&](std::uint32_t i) { return double{h[i]}; });
  if (best.length == 0) best = BestPrefix(weights, sorted, [](std::uint32_t) { return 1.0; });
  const float scale = RoundToHalf(std::min(static_cast<float>(best.scale), kLargestHalf));
  length = scale > 0 ? best.length : 0;
  return scale;
}

/// Calls task(row, first column, scratch [kMaxGroup]) for every group of every row.
template <class Task>
void ForEachGroup(std::int64_t out, std::int64_t in, int group, const Task& task) {
  FORGE_CHECK(group > 0 && group <= kMaxGroup && in % group == 0);
  const auto columns = static_cast<std::size_t>(in), size = static_cast<std::size_t>(group);
  ParallelFor(static_cast<std::size_t>(out), std::max<std::size_t>(1, kWeightsPerTask / columns),
              [&](std::size_t begin, std::size_t end) {
                std::array<std::uint64_t, kMaxGroup> keys;
                for (std::size_t row = begin; row < end; ++row)
                  for (std::size_t first = 0; first < columns; first += size) task(row, first, keys.data());
              });
}

}  // namespace

float TernarizeGroup(std::span<const float> weights, std::span<const float> h, std::int8_t* codes) {
  FORGE_CHECK(weights.size() <= kMaxGroup && (h.empty() || h.size() == weights.size()));
  std::array<std::uint64_t, kMaxGroup> keys;
  std::size_t length = 0;
  const float scale = Solve(weights, h, keys.data(), length);
  std::fill_n(codes, weights.size(), std::int8_t{0});
  for (std::size_t k = 0; k < length; ++k) {
    const auto index = static_cast<std::uint32_t>(keys[k]);
    codes[index] = weights[index] > 0 ? 1 : -1;
  }
  return scale;
}

model::TernaryTensor TernarizeTensor(std::span<const float> weights, std::int64_t out, std::int64_t in,
                                     int group, std::span<const float> h) {
  FORGE_CHECK(weights.size() == static_cast<std::size_t>(out * in) &&
              (h.empty() || h.size() == static_cast<std::size_t>(in)));
  const auto columns = static_cast<std::size_t>(in), size = static_cast<std::size_t>(group);
  model::TernaryTensor tensor{.shape = {out, in}, .group = group};
  tensor.codes.resize(weights.size());
  tensor.scales.resize(weights.size() / size);
  ForEachGroup(out, in, group, [&](std::size_t row, std::size_t first, std::uint64_t*) {
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
  ForEachGroup(out, in, group, [&](std::size_t row, std::size_t first, std::uint64_t* keys) {
    const float* source = weights + row * columns + first;
    float* target = quantized + row * columns + first;
    std::size_t length = 0;
    const float scale = Solve({source, size}, h.empty() ? h : h.subspan(first, size), keys, length);
    std::fill_n(target, size, 0.0f);
    for (std::size_t k = 0; k < length; ++k) {
      const auto index = static_cast<std::uint32_t>(keys[k]);
      target[index] = source[index] > 0 ? scale : -scale;
    }
  });
}

}  // namespace forge::compress
