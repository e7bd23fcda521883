// SPDX-License-Identifier: Apache-2.0
#include "compress/quantised_linear.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "compress/input_gram.h"
#include "io/k_quant_fit.h"
#include "runtime/kernels/kernel_table.h"

namespace forge::compress {
namespace {

constexpr std::int64_t kLongestFeedbackGroup = 256;
constexpr std::size_t kBlock = 128;  // columns of the feedback at a time, where groups are longer

std::span<const float> Slice(std::span<const float> h, std::size_t first, std::size_t count) {
  return h.empty() ? h : h.subspan(first, count);
}

const io::KQuantFormat* KQuantOf(const Quantiser& quantiser) {
  return quantiser.blocks ? quantiser.blocks->k_quant : nullptr;
}

QuantisedLinear Empty(const LinearToQuantise& linear, const Quantiser& quantiser, std::int64_t group) {
  FORGE_CHECK(!quantiser.blocks ||
              (group == quantiser.blocks->group && linear.in % quantiser.blocks->width() == 0));
  FORGE_CHECK(group > 0 && linear.in % group == 0 &&
              linear.weights.size() == static_cast<std::size_t>(linear.out * linear.in) &&
              (linear.h.empty() || linear.h.size() == static_cast<std::size_t>(linear.in)));
  QuantisedLinear result{
      .out = linear.out, .in = linear.in, .group = group, .values = {}, .levels = {}, .blocks = {}};
  result.values.resize(linear.weights.size());
  if (KQuantOf(quantiser) != nullptr)
    result.blocks.resize(static_cast<std::size_t>(linear.out * (linear.in / io::kKQuantElements)));
  result.levels.resize(static_cast<std::size_t>(linear.out * (linear.in / group)));
  return result;
}

/// Levels for the groups of one row's columns [first, first + values.size()).
void FitGroups(const LinearToQuantise& linear, const Quantiser& quantiser, std::size_t row, std::size_t first,
               std::span<const float> values, QuantisedLinear& result) {
  const auto group = static_cast<std::size_t>(result.group), in = static_cast<std::size_t>(linear.in);
  if (const io::KQuantFormat* format = KQuantOf(quantiser)) {
    constexpr std::size_t kWidth = io::kKQuantElements;
    for (std::size_t start = 0; start < values.size(); start += kWidth) {
      io::KQuantBlock& block = result.blocks[(row * in + first + start) / kWidth];
      const std::span<const float> h = Slice(linear.h, first + start, kWidth);
      block = io::FitKQuant(*format, values.data() + start, h.empty() ? nullptr : h.data());
      for (int g = 0; g < format->groups(); ++g)
        result.levels[(row * in + first + start) / group + static_cast<std::size_t>(g)] =
            KQuantLevels(*format, block, g);
    }
    return;
  }
  for (std::size_t start = 0; start < values.size(); start += group)
    result.levels[row * (in / group) + (first + start) / group] =
        quantiser.fit(values.subspan(start, group), Slice(linear.h, first + start, group));
}

/// Rounds `count` columns of one row from `first` on. v: these columns and those behind them in the block,
/// after the feedback of all earlier ones; they get that of each column as it is rounded.
void RoundColumns(const LinearToQuantise& linear, const FeedbackFactor& factor, std::size_t row,
                  std::size_t first, std::size_t count, std::span<float> v, std::vector<float>& errors,
                  QuantisedLinear& result) {
  const auto in = static_cast<std::size_t>(linear.in);
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t column = first + k, at = row * in + column;
    result.values[at] =
        result.LevelsOf(static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)).Round(v[k]);
    errors[at] = linear.weights[at] - result.values[at];
    runtime::Kernels().axpy(errors[at], factor.u.data() + column * in + column + 1, v.size() - k - 1,
                            v.data() + k + 1);
  }
}

}  // namespace

QuantisedLinear QuantiseNearest(const LinearToQuantise& linear, const Quantiser& quantiser,
                                std::int64_t group) {
  const auto rows = static_cast<std::size_t>(linear.out), in = static_cast<std::size_t>(linear.in);
  QuantisedLinear result = Empty(linear, quantiser, group == 0 ? linear.in : group);
  GroupLevels of_tensor;
  if (group == 0) {
    std::vector<float> h;
    for (std::size_t row = 0; row < rows && !linear.h.empty(); ++row)
      h.insert(h.end(), linear.h.begin(), linear.h.end());
    of_tensor = quantiser.fit(linear.weights, h);
  }
  ParallelFor(rows, 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      if (group == 0)
        result.levels[row] = of_tensor;
      else
        FitGroups(linear, quantiser, row, 0, linear.weights.subspan(row * in, in), result);
      for (std::size_t i = 0; i < in; ++i)
        result.values[row * in + i] =
            result.LevelsOf(static_cast<std::int64_t>(row), static_cast<std::int64_t>(i))
                .Round(linear.weights[row * in + i]);
    }
  });
  return result;
}

QuantisedLinear QuantiseWithFeedback(const LinearToQuantise& linear, const Quantiser& quantiser,
                                     std::int64_t group, const FeedbackFactor& factor) {
  const auto rows = static_cast<std::size_t>(linear.out), in = static_cast<std::size_t>(linear.in);
  FORGE_CHECK(factor.size == in);
  const bool fits_beforehand = group == 0 || group > kLongestFeedbackGroup;
  QuantisedLinear result =
      fits_beforehand ? QuantiseNearest(linear, quantiser, group) : Empty(linear, quantiser, group);
  // What is fitted at a time; whole ones, but at least half a block: short groups would make short products.
  const auto fitted = static_cast<std::size_t>(quantiser.blocks ? quantiser.blocks->width() : group);
  std::size_t block = fits_beforehand ? kBlock : fitted;
  while (!fits_beforehand && block < kBlock) block += fitted;
  std::vector<float> errors(linear.weights.size()), v(rows * block);
  for (std::size_t first = 0; first < in; first += block) {
    const std::size_t width = std::min(block, in - first);
    for (std::size_t row = 0; row < rows; ++row)
      std::copy_n(linear.weights.data() + row * in + first, width, v.data() + row * width);
    MultiplyDense({.x = errors.data(),
                   .rows = rows,
                   .x_stride = in,
                   .b = factor.u.data() + first,
                   .depth = first,
                   .columns = width,
                   .b_stride = in,
                   .y = v.data(),
                   .y_stride = width,
                   .accumulate = true});
    ParallelFor(rows, 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t row = begin; row < end; ++row) {
        const std::span<float> values(v.data() + row * width, width);
        const std::size_t step = fits_beforehand ? width : fitted;
        for (std::size_t start = 0; start < width; start += step) {
          if (!fits_beforehand)
            FitGroups(linear, quantiser, row, first + start, values.subspan(start, step), result);
          RoundColumns(linear, factor, row, first + start, step, values.subspan(start), errors, result);
        }
      }
    });
  }
  return result;
}

std::vector<float> ErrorsOf(const LinearToQuantise& linear, const QuantisedLinear& quantised) {
  std::vector<float> errors(linear.weights.size());
  for (std::size_t i = 0; i < errors.size(); ++i) errors[i] = linear.weights[i] - quantised.values[i];
  return errors;
}

}  // namespace forge::compress
