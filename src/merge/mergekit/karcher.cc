// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "merge/mergekit/spherical.h"

namespace forge::merge::mergekit {
namespace {

/// A length as mergekit keeps it, whatever the work type: a number of float32.
float Length(std::span<const float> values) { return static_cast<float>(LengthOf(values)); }

void Divide(std::vector<float>& values, float divisor, const Rounder& round) {
  for (float& value : values) value = round(value / divisor);
}

/// The mean of the logarithmic maps of the units at `mean`: the step towards their centre.
std::vector<float> Step(const std::vector<std::vector<float>>& units, const std::vector<float>& mean,
                        float share, float tol, const Rounder& round) {
  std::vector<float> step(mean.size());
  for (const std::vector<float>& unit : units) {
    const float cosine = ClampCosine(round(DotProduct(mean, unit)));
    const float angle = round(std::acos(static_cast<double>(cosine)));
    if (angle < tol) continue;
    const float stretch = round(share * round(angle / round(std::sin(static_cast<double>(angle)))));
    for (std::size_t i = 0; i < step.size(); ++i) {
      const float across = round(unit[i] - round(cosine * mean[i]));
      step[i] = round(step[i] + round(stretch * across));
    }
  }
  return step;
}

std::vector<float> Center(const std::vector<std::vector<float>>& units, const Operands& operands) {
  const Rounder& round = operands.round;
  const auto tol = static_cast<float>(operands.Get("tol"));
  const auto share = static_cast<float>(1.0 / static_cast<double>(units.size()));
  std::vector<float> mean(operands.size());
  for (const std::vector<float>& unit : units)
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = round(mean[i] + round(share * unit[i]));
  const float mean_length = Length(mean);
  if (mean_length < tol) {
    mean = units[0];
  } else {
    Divide(mean, mean_length, round);
  }
  const auto max_steps = static_cast<int>(operands.Get("max_iter"));
  for (int taken = 0; taken < max_steps; ++taken) {
    std::vector<float> step = Step(units, mean, share, tol, round);
    const float length = Length(step);
    if (length < tol) break;
    const float cosine = round(std::cos(static_cast<double>(length)));
    const float sine = round(std::sin(static_cast<double>(length)));
    for (std::size_t i = 0; i < mean.size(); ++i)
      mean[i] = round(round(cosine * mean[i]) + round(sine * round(step[i] / length)));
    const float moved_length = Length(mean);
    if (moved_length > tol) Divide(mean, moved_length, round);
  }
  return mean;
}

}  // namespace

void Karcher(const Operands& operands, std::span<float> out) {
  if (operands.inputs.size() == 1) {
    std::copy(operands.inputs[0].begin(), operands.inputs[0].end(), out.begin());
    return;
  }
  const auto share = static_cast<float>(1.0 / static_cast<double>(operands.inputs.size()));
  std::vector<std::vector<float>> units;
  float mean_length = 0;
  for (const std::span<const float> input : operands.inputs) {
    const float length = Length(input);
    mean_length += share * length;
    if (!(length > static_cast<float>(operands.Get("tol")))) continue;
    units.emplace_back(input.begin(), input.end());
    Divide(units.back(), length, operands.round);
  }
  if (units.empty()) {
    std::fill(out.begin(), out.end(), 0.0f);
    return;
  }
  const std::vector<float> mean = Center(units, operands);
  const float scale = operands.round(mean_length);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = operands.round(scale * mean[i]);
}

}  // namespace forge::merge::mergekit
