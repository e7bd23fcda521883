// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/task_arithmetic.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {
namespace {

/// What is added up at one element, and the weights of it.
struct Sum {
  float changes = 0, weights = 0;
};

/// All of them. `weighted` [models]: the weighted changes of the element.
Sum SumAll(std::span<const float> weighted, std::span<const float> weights, const Rounder& round) {
  Sum sum;
  for (std::size_t m = 0; m < weights.size(); ++m) {
    sum.changes += weighted[m];
    sum.weights += weights[m];
  }
  sum = {round(sum.changes), round(sum.weights)};
  if (std::abs(sum.weights) < 1e-8f) sum.weights = 1;
  return sum;
}

/// Those whose sign is elected. The others are multiplied by 0, so that a NaN stays one.
Sum SumElected(std::span<const float> weighted, std::span<const float> weights, const Rounder& round) {
  float votes = 0;
  for (const float change : weighted) votes += change;
  const int sign = round(votes) >= 0 ? 1 : -1;
  Sum sum;
  for (std::size_t m = 0; m < weights.size(); ++m) {
    const float agrees = SignOf(weighted[m]) == sign ? 1 : 0;
    sum.changes += weighted[m] * agrees;
    sum.weights += weights[m] * agrees;
  }
  sum = {round(sum.changes), round(sum.weights)};
  if (sum.weights == 0) sum.weights = 1;
  return sum;
}

}  // namespace

void TaskArithmetic(const Operands& operands, Sparsifier sparsifier, bool elect_signs, std::span<float> out) {
  const Rounder& round = operands.round;
  const std::span<const float> base = operands.base();
  if (operands.models().empty()) {
    std::copy(base.begin(), base.end(), out.begin());
    return;
  }
  std::vector<std::vector<float>> changes;
  std::vector<float> weights;
  for (const std::size_t source : operands.models()) {
    changes.push_back(operands.Change(source));
    Sparsify(operands, sparsifier, source, changes.back());
    weights.push_back(round(operands.Get("weight", source)));
  }
  const bool normalize = operands.Get("normalize") != 0;
  const auto lambda = static_cast<float>(operands.Get("lambda"));
  std::vector<float> weighted(weights.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t m = 0; m < weights.size(); ++m) weighted[m] = round(changes[m][i] * weights[m]);
    const Sum sum = elect_signs ? SumElected(weighted, weights, round) : SumAll(weighted, weights, round);
    const float merged = normalize ? round(sum.changes / sum.weights) : sum.changes;
    out[i] = round(base[i] + round(merged * lambda));
  }
}

}  // namespace forge::merge::mergekit
