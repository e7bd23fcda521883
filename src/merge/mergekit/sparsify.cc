// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/sparsify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "merge/mergekit/choices.h"

namespace forge::merge::mergekit {
namespace {

[[noreturn]] void Throw(const TensorTask& task, std::string why, std::string fix) {
  throw Error({.what = fmt::format("cannot merge {} by {}", task.name, task.method->name),
               .why = std::move(why),
               .fix = std::move(fix)});
}

std::vector<float> Magnitudes(const std::vector<float>& change) {
  std::vector<float> magnitudes;
  for (const float value : change) magnitudes.push_back(std::abs(value));
  return magnitudes;
}

/// int(part * n) in double, as Python counts: 0.29 of 100 is 28.
std::size_t PartOf(double part, std::size_t n) {
  return part <= 0 ? 0 : std::min(n, static_cast<std::size_t>(part * static_cast<double>(n)));
}

Mask KeepBetweenOutliers(const Operands& operands, std::size_t source, const std::vector<float>& magnitudes) {
  const std::size_t n = magnitudes.size();
  const std::size_t keep = PartOf(operands.Get("density", source), n);
  const std::size_t drop = std::min(n - keep, PartOf(operands.Get("gamma", source), n));
  const std::size_t low = n - keep - drop;
  return KeepRanks(operands, source, magnitudes, low, low + keep);
}

/// [n]: the rank of each magnitude in its row, scaled to [0, 1].
std::vector<double> RelativeRanks(const std::vector<float>& magnitudes, const Vectors& rows) {
  std::vector<double> ranks(magnitudes.size());
  std::vector<std::size_t> order(rows.length);
  for (std::size_t r = 0; r < rows.count; ++r) {
    const auto index = [&, first = rows.First(r)](std::size_t e) { return first + e * rows.stride; };
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::reverse(order.begin(), order.end());  // of equal ones the lower index is the larger
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return magnitudes[index(a)] < magnitudes[index(b)];
    });
    for (std::size_t rank = 0; rank < order.size(); ++rank)
      ranks[index(order[rank])] = static_cast<double>(rank) / static_cast<double>(rows.length - 1);
  }
  return ranks;
}

Mask KeepAtRandomByMagnitude(const Operands& operands, std::size_t source,
                             const std::vector<float>& magnitudes) {
  const TensorTask& task = operands.task;
  const double density = operands.Get("density", source), epsilon = operands.Get("epsilon", source);
  if (!(density - epsilon > 0 && density + epsilon < 1))
    Throw(task,
          fmt::format("it keeps with probabilities from density - epsilon to density + epsilon, and {} to {} "
                      "is not inside (0, 1)",
                      density - epsilon, density + epsilon),
          "choose a smaller epsilon, or a density of 1");
  const Vectors rows =
      task.shape.size() < 2 ? Vectors{.count = 1, .length = magnitudes.size()} : VectorsAlong(task.shape, 1);
  if (rows.length == 1)
    Throw(task, "its rows have one element, which has no rank among others",
          "give the tensor density: 1 with a filter");
  const std::vector<double> ranks = RelativeRanks(magnitudes, rows);
  return KeepAtRandom(operands, source,
                      [&](std::size_t i) { return density - epsilon + ranks[i] * 2 * epsilon; });
}

Mask Kept(const Operands& operands, Sparsifier sparsifier, std::size_t source,
          const std::vector<float>& magnitudes) {
  const double density = operands.Get("density", source);
  if (sparsifier == Sparsifier::kRandom) {
    if (density < 0)
      Throw(operands.task, fmt::format("a density is a probability, and {} is below 0", density),
            "choose one in [0, 1]");
    return KeepAtRandom(operands, source, [&](std::size_t) { return density; });
  }
  const std::size_t n = magnitudes.size();
  if (density <= 0) return Mask(n, 0);
  if (sparsifier == Sparsifier::kMagnitude)
    return KeepRanks(operands, source, magnitudes, n - std::max<std::size_t>(1, PartOf(density, n)), n);
  if (sparsifier == Sparsifier::kOutliers) return KeepBetweenOutliers(operands, source, magnitudes);
  return KeepAtRandomByMagnitude(operands, source, magnitudes);
}

}  // namespace

void Sparsify(const Operands& operands, Sparsifier sparsifier, std::size_t source,
              std::vector<float>& change) {
  if (sparsifier == Sparsifier::kNone || operands.Get("density", source) >= 1) return;
  const Rounder& round = operands.round;
  const std::vector<float> magnitudes = Magnitudes(change);
  const Mask kept = Kept(operands, sparsifier, source, magnitudes);
  for (std::size_t i = 0; i < change.size(); ++i) change[i] *= static_cast<float>(kept[i]);
  if (operands.Get("rescale") == 0) return;
  const float before = round(SumOf(change.size(), [&](std::size_t i) { return magnitudes[i]; }));
  const float after = round(SumOf(change.size(), [&](std::size_t i) { return std::abs(change[i]); }));
  if (before < 1e-7f || after < 1e-7f) return;
  const float factor = round(before / after);
  for (float& value : change) value = round(value * factor);
}

}  // namespace forge::merge::mergekit
