// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "merge/mergekit/spherical.h"

namespace forge::merge::mergekit {
namespace {

using Tensors = std::vector<std::vector<float>>;

std::vector<float> RoundedWeights(const Operands& operands, const std::vector<std::size_t>& models) {
  std::vector<float> weights;
  for (const std::size_t source : models) weights.push_back(operands.round(operands.Get("weight", source)));
  if (operands.Get("normalize_weights") == 0) return weights;
  const float total = operands.round(SumOf(weights.size(), [&](std::size_t m) { return weights[m]; }));
  for (float& weight : weights) weight = operands.round(weight / total);
  return weights;
}

/// sum_m w_m x_m: products rounded, their sum once.
std::vector<float> WeightedSum(const Tensors& tensors, const std::vector<float>& weights,
                               const Rounder& round) {
  std::vector<float> sum(tensors[0].size());
  for (std::size_t i = 0; i < sum.size(); ++i) {
    float total = 0;
    for (std::size_t m = 0; m < tensors.size(); ++m) total += round(tensors[m][i] * weights[m]);
    sum[i] = round(total);
  }
  return sum;
}

/// The weighted mean of the parts of the units across `direction`: where the great circle goes.
std::vector<float> WeightedTangent(const Tensors& units, const std::vector<float>& weights,
                                   const std::vector<float>& direction, const Rounder& round) {
  Tensors tangents = units;
  for (std::vector<float>& tangent : tangents) {
    const float along =
        round(SumOf(tangent.size(), [&](std::size_t i) { return round(tangent[i] * direction[i]); }));
    for (std::size_t i = 0; i < tangent.size(); ++i)
      tangent[i] = round(tangent[i] - round(along * direction[i]));
  }
  return WeightedSum(tangents, weights, round);
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
  Tensors tensors;
  for (const std::size_t source : models)
    tensors.push_back(operands.has_base() ? operands.Change(source)
                                          : std::vector<float>(operands.inputs[source].begin(),
                                                               operands.inputs[source].end()));
  const std::vector<float> weights = RoundedWeights(operands, models);
  const auto eps = static_cast<float>(operands.Get("eps"));
  Tensors units = tensors;
  float mean_length = 0;
  for (std::size_t m = 0; m < units.size(); ++m) {
    const float length = round(LengthOf(units[m])), divisor = round(length + eps);
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
