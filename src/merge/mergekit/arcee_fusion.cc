// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/arcee_fusion.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {
namespace {

/// Softmax of a row, plus 1e-8 so that its logarithm exists.
std::vector<float> Softmax(std::span<const float> row, const Rounder& round) {
  const float largest = *std::max_element(row.begin(), row.end());
  std::vector<double> powers;
  for (const float value : row)
    powers.push_back(std::exp(static_cast<double>(value) - static_cast<double>(largest)));
  const double total = SumOf(powers.size(), [&](std::size_t i) { return powers[i]; });
  std::vector<float> probabilities;
  for (const double power : powers) probabilities.push_back(round(round(power / total) + 1e-8f));
  return probabilities;
}

float Divergence(std::span<const float> row, std::span<const float> base_row, const Rounder& round) {
  const std::vector<float> p = Softmax(row, round), q = Softmax(base_row, round);
  return round(SumOf(p.size(), [&](std::size_t i) {
    return round(p[i] * round(std::log(static_cast<double>(round(p[i] / q[i])))));
  }));
}

/// torch computes the place of a quantile in float32.
float Quantile(std::vector<float>& values, float part) {
  const auto place = static_cast<std::ptrdiff_t>(part * static_cast<float>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + place, values.end());
  return values[static_cast<std::size_t>(place)];
}

float Threshold(std::vector<float> importance, const Rounder& round) {
  const float first = Quantile(importance, 0.25f), median = Quantile(importance, 0.5f),
              third = Quantile(importance, 0.75f);
  return round(median + round(1.5f * round(third - first)));
}

}  // namespace

void ArceeFusion(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::size_t source = operands.models()[0];
  const std::span<const float> base = operands.base(), other = operands.inputs[source];
  const std::vector<float> change = operands.Change(source);
  const std::size_t length = RowsOf(operands.task.shape).length;
  std::vector<float> importance(out.size());
  for (std::size_t begin = 0; begin < out.size(); begin += length) {
    const float divergence = Divergence(other.subspan(begin, length), base.subspan(begin, length), round);
    for (std::size_t i = begin; i < begin + length; ++i)
      importance[i] = round(std::abs(change[i]) * divergence);
  }
  const float threshold = Threshold(importance, round);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = base[i] + change[i] * (importance[i] >= threshold ? 1.0f : 0.0f);
}

}  // namespace forge::merge::mergekit
