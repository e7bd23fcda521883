// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/sce.h"

#include <cmath>

#include "merge/mergekit/choices.h"

namespace forge::merge::mergekit {
namespace {

using Changes = std::vector<std::vector<float>>;

/// [n]: of the models' changes at each element, divided by their number.
std::vector<float> Variances(const Changes& changes, const Rounder& round) {
  const auto models = static_cast<double>(changes.size());
  std::vector<float> variances(changes[0].size());
  for (std::size_t i = 0; i < variances.size(); ++i) {
    const double mean = SumOf(changes.size(), [&](std::size_t m) { return changes[m][i]; }) / models;
    const double squares = SumOf(changes.size(), [&](std::size_t m) {
      const double distance = static_cast<double>(changes[m][i]) - mean;
      return distance * distance;
    });
    variances[i] = round(squares / models);
  }
  return variances;
}

void Select(const Operands& operands, Changes& changes) {
  const double top = operands.Get("select_topk");
  if (top >= 1) return;
  const std::vector<float> variances = Variances(changes, operands.round);
  std::size_t varying = 0;
  for (const float variance : variances) varying += variance != 0;
  // torch multiplies the count as a float32; from 2^24 on that is not exact.
  const std::size_t count =
      top > 0 ? static_cast<std::size_t>(static_cast<float>(varying) * static_cast<float>(top)) : 0;
  const Mask kept =
      count == 0 ? Mask(operands.size(), 0)
                 : KeepRanks(operands, std::nullopt, variances, operands.size() - count, operands.size());
  for (std::vector<float>& change : changes)
    for (std::size_t i = 0; i < change.size(); ++i) change[i] *= static_cast<float>(kept[i]);
}

std::vector<float> Coefficients(const Changes& changes, const Rounder& round) {
  std::vector<float> energies;
  for (const std::vector<float>& change : changes)
    energies.push_back(
        round(SumOf(change.size(), [&](std::size_t i) { return round(change[i] * change[i]); }) /
              static_cast<double>(change.size())));
  const float total = round(SumOf(energies.size(), [&](std::size_t m) { return energies[m]; }));
  const bool uniform = std::abs(total) < 1e-6f;
  for (float& energy : energies)
    energy = uniform ? round(1 / static_cast<float>(energies.size())) : round(energy / total);
  return energies;
}

}  // namespace

void Sce(const Operands& operands, std::span<float> out) {
  const Rounder& round = operands.round;
  Changes changes;
  for (const std::size_t source : operands.models()) changes.push_back(operands.Change(source));
  Select(operands, changes);
  const std::vector<float> coefficients = Coefficients(changes, round);
  for (std::size_t i = 0; i < out.size(); ++i) {
    float votes = 0;
    for (const std::vector<float>& change : changes) votes += change[i];
    const int sign = round(votes) >= 0 ? 1 : -1;
    float sum = 0, used = 0;
    for (std::size_t m = 0; m < changes.size(); ++m) {
      const float coefficient = SignOf(changes[m][i]) == sign ? coefficients[m] : 0;
      sum += round(changes[m][i] * coefficient);
      used += coefficient;
    }
    const float divisor = AtLeast(round(used), round(1e-6f));
    out[i] = round(operands.base()[i] + round(round(sum) / divisor));
  }
}

}  // namespace forge::merge::mergekit
