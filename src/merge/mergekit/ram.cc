// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/ram.h"

#include <algorithm>
#include <cmath>

namespace forge::merge::mergekit {
namespace {

/// The models' changes and which of them count.
struct Changes {
  std::vector<std::vector<float>> values;  // [models][n]; 0 where it does not count
  std::vector<std::uint32_t> models;       // [n]: how many have one
};

Changes FindChanges(const Operands& operands) {
  const float epsilon = operands.round(static_cast<float>(operands.Get("epsilon")));
  Changes changes{.values = {}, .models = std::vector<std::uint32_t>(operands.size())};
  for (const std::size_t source : operands.models()) {
    std::vector<float> values = operands.Change(source);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool counts = std::abs(values[i]) > epsilon;
      changes.models[i] += counts;
      values[i] *= counts ? 1.0f : 0.0f;  // so that a NaN stays one
    }
    changes.values.push_back(std::move(values));
  }
  return changes;
}

/// What a model adds at element i: its own change times `factor`, or its part of a shared one.
float Contribution(const Changes& changes, std::size_t model, std::size_t i, float factor,
                   const Rounder& round) {
  const float value = changes.values[model][i];
  if (changes.models[i] > 1) return round(value / static_cast<float>(changes.models[i]));
  return value * factor;
}

/// 1 + r * min(shared / own, alpha) of a model, in float32.
float Strength(const Operands& operands, const Changes& changes, std::size_t model) {
  std::size_t shared = 0, own = 0;
  for (std::size_t i = 0; i < changes.models.size(); ++i) {
    if (!(std::abs(changes.values[model][i]) > 0)) continue;
    (changes.models[i] > 1 ? shared : own) += 1;
  }
  const float ratio = static_cast<float>(shared) /
                      AtLeast(static_cast<float>(own), static_cast<float>(operands.Get("epsilon")));
  const float counted = std::clamp(ratio, 0.0f, static_cast<float>(operands.Get("alpha")));
  return 1 + static_cast<float>(operands.Get("r")) * counted;
}

}  // namespace

void Ram(const Operands& operands, std::span<float> out) {
  const Changes changes = FindChanges(operands);
  for (std::size_t i = 0; i < out.size(); ++i) {
    float sum = 0;
    for (std::size_t m = 0; m < changes.values.size(); ++m)
      sum += Contribution(changes, m, i, 1, operands.round);
    out[i] = operands.round(operands.base()[i] + operands.round(sum));
  }
}

void RamPlus(const Operands& operands, std::span<float> out) {
  const Changes changes = FindChanges(operands);
  std::vector<float> strengths;
  for (std::size_t m = 0; m < changes.values.size(); ++m) strengths.push_back(Strength(operands, changes, m));
  for (std::size_t i = 0; i < out.size(); ++i) {
    float sum = 0;
    for (std::size_t m = 0; m < changes.values.size(); ++m)
      sum += Contribution(changes, m, i, strengths[m], operands.round);
    out[i] = operands.base()[i] + sum;
  }
}

}  // namespace forge::merge::mergekit
