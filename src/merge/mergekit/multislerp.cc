// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "merge/mergekit/spherical.h"

namespace forge::merge::mergekit {
namespace {

std::vector<float> RoundedWeights(const Operands& operands, const std::vector<std::size_t>& models) {
  std::vector<float> weights;
  for (const std::size_t source : models) weights.push_back(operands.round(operands.Get("weight", source)));
  if (operands.Get("normalize_weights") == 0) return weights;
  const float total = operands.round(SumOf(weights.size(), [&](std::size_t m) { return weights[m]; }));
  for (float& weight : weights) weight = operands.round(weight / total);
  return weights;
}

/// sum_m w_m u_m: products rounded, their sum once.
std::vector<float> WeightedSum(const std::vector<std::vector<float>>& units,
                               const std::vector<float>& weights, const Rounder& round) {
  std::vector<float> sum(units[0].size());
  for (std::size_t m = 0; m < units.size(); ++m)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += round(units[m][i] * weights[m]);
  for (float& value : sum) value = round(value);
  return sum;
}

/// The same of the parts of the units across `direction`: where the great circle goes.
std::vector<float> WeightedTangent(const std::vector<std::vector<float>>& units,
                                   const std::vector<float>& weights, const std::vector<float>& direction,
                                   const Rounder& round) {
  std::vector<float> sum(direction.size());
  for (std::size_t m = 0; m < units.size(); ++m) {
    const std::vector<float>& unit = units[m];
    const float along =
        round(SumOf(unit.size(), [&](std::size_t i) { return round(unit[i] * direction[i]); }));
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const float across = round(unit[i] - round(along * direction[i]));
      sum[i] += round(across * weights[m]);
    }
  }
  for (float& value : sum) value = round(value);
  return sum;
}

[[noreturn]] void ThrowNoDirection(const TensorTask& task) {
  throw Error({.what = "cannot merge " + task.name + " by multislerp",
               .why = "the weighted directions of the models cancel out, so there is no mean direction",
               .fix = "change the weights, or use the method linear"});
}

}  // namespace

void Multislerp(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::vector<std::size_t> models = operands.models();
  if (models.size() == 1) {
    std::copy(operands.inputs[models[0]].begin(), operands.inputs[models[0]].end(), out.begin());
    return;
  }
  std::vector<std::vector<float>> changes;
  changes.reserve(models.size());
  std::vector<std::span<const float>> tensors;
  for (const std::size_t source : models) {
    if (operands.has_base()) changes.push_back(operands.Change(source));
    tensors.push_back(operands.has_base() ? std::span<const float>(changes.back()) : operands.inputs[source]);
  }
  const std::vector<float> weights = RoundedWeights(operands, models);
  const auto eps = static_cast<float>(operands.Get("eps"));
  std::vector<std::vector<float>> units;
  float mean_length = 0;
  for (std::size_t m = 0; m < tensors.size(); ++m) {
    const float length = round(LengthOf(tensors[m])), divisor = round(length + eps);
    units.emplace_back(tensors[m].begin(), tensors[m].end());
    for (float& value : units[m]) value = round(value / divisor);
    mean_length += round(length * weights[m]);
  }
  mean_length = round(mean_length);
  std::vector<float> direction = WeightedSum(units, weights, round);
  const float direction_length = round(LengthOf(direction));
  if (direction_length < eps) {
    if (models.size() > 2) ThrowNoDirection(operands.task);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = round(round(tensors[0][i] * weights[0]) + round(tensors[1][i] * weights[1]));
  } else {
    for (float& value : direction) value = round(value / direction_length);
    const std::vector<float> tangent = WeightedTangent(units, weights, direction, round);
    const float step = round(round(LengthOf(tangent)) + eps);
    const float cosine = round(std::cos(static_cast<double>(step)));
    const float sine = round(round(std::sin(static_cast<double>(step))) / step);
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = round(round(round(direction[i] * cosine) + round(tangent[i] * sine)) * mean_length);
  }
  if (operands.has_base())
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = round(out[i] + operands.base()[i]);
}

}  // namespace forge::merge::mergekit
