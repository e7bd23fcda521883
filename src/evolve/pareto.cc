// SPDX-License-Identifier: Apache-2.0
#include "evolve/pareto.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace forge::evolve {
namespace {

/// Area above (x, y) of points sorted by their first objective, highest first.
double SortedArea(std::span<const Objectives> sorted, double x, double y) {
  double area = 0, height = y;
  for (const Objectives& point : sorted) {
    if (point[1] <= height) continue;
    area += (point[0] - x) * (point[1] - height);
    height = point[1];
  }
  return area;
}

double Volume(std::vector<Objectives> points, const Objectives& reference) {
  std::sort(points.begin(), points.end(),
            [](const Objectives& a, const Objectives& b) { return a[2] > b[2]; });
  double volume = 0;
  std::vector<Objectives> above;  // sorted by the first objective
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto place = std::upper_bound(above.begin(), above.end(), points[i],
                                        [](const Objectives& a, const Objectives& b) { return a[0] > b[0]; });
    above.insert(place, points[i]);
    const double floor = i + 1 < points.size() ? points[i + 1][2] : reference[2];
    volume += (points[i][2] - floor) * SortedArea(above, reference[0], reference[1]);
  }
  return volume;
}

struct Range {
  double low, high;
};

Range RangeOf(std::span<const Objectives> points, std::size_t objective) {
  Range range{points[0][objective], points[0][objective]};
  for (const Objectives& point : points) {
    range.low = std::min(range.low, point[objective]);
    range.high = std::max(range.high, point[objective]);
  }
  return range;
}

}  // namespace

bool Dominates(const Objectives& a, const Objectives& b) {
  FORGE_CHECK(a.size() == b.size());
  bool is_better = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] < b[i]) return false;
    is_better |= a[i] > b[i];
  }
  return is_better;
}

bool DominatesWithin(const Objectives& a, double violation_a, const Objectives& b, double violation_b) {
  return violation_a != violation_b ? violation_a < violation_b : Dominates(a, b);
}

std::vector<std::vector<std::size_t>> NonDominatedFronts(std::span<const Objectives> points,
                                                         std::span<const double> violations) {
  FORGE_CHECK(violations.empty() || violations.size() == points.size());
  const auto violation = [&](std::size_t i) { return violations.empty() ? 0.0 : violations[i]; };
  std::vector<std::vector<std::size_t>> dominated(points.size());
  std::vector<std::size_t> num_above(points.size());
  const auto compare = [&](std::size_t winner, std::size_t loser) {
    if (!DominatesWithin(points[winner], violation(winner), points[loser], violation(loser))) return false;
    dominated[winner].push_back(loser);
    ++num_above[loser];
    return true;
  };
  for (std::size_t i = 0; i < points.size(); ++i)
    for (std::size_t j = i + 1; j < points.size(); ++j)
      if (!compare(i, j)) compare(j, i);
  std::vector<std::vector<std::size_t>> fronts;
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (num_above[i] == 0) front.push_back(i);
  while (!front.empty()) {
    std::vector<std::size_t> next;
    for (const std::size_t i : front)
      for (const std::size_t j : dominated[i])
        if (--num_above[j] == 0) next.push_back(j);
    std::sort(next.begin(), next.end());
    fronts.push_back(std::exchange(front, std::move(next)));
  }
  return fronts;
}

std::vector<double> CrowdingDistances(std::span<const Objectives> points,
                                      std::span<const std::size_t> front) {
  std::vector<double> distances(front.size());
  if (front.empty()) return distances;
  std::vector<std::size_t> order(front.size());  // places in `front`
  for (std::size_t m = 0; m < points[front[0]].size(); ++m) {
    const auto value = [&](std::size_t place) { return points[front[place]][m]; };
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
    const double range = value(order.back()) - value(order.front());
    if (range == 0) continue;
    // The highest of equal values, too, is an end by its lowest index.
    const auto top = std::find_if(order.begin(), order.end(),
                                  [&](std::size_t place) { return value(place) == value(order.back()); });
    distances[order.front()] = distances[*top] = std::numeric_limits<double>::infinity();
    for (std::size_t i = 1; i + 1 < order.size(); ++i)
      distances[order[i]] += (value(order[i + 1]) - value(order[i - 1])) / range;
  }
  return distances;
}

double Hypervolume(std::span<const Objectives> points, const Objectives& reference) {
  const std::size_t dimensions = reference.size();
  if (dimensions < 1 || dimensions > 3)
    throw Error({.what = "cannot compute a hypervolume",
                 .why = fmt::format("the reference has {} objectives; 1 to 3 are supported", dimensions),
                 .fix = "choose up to three objectives"});
  std::vector<Objectives> above;
  for (const Objectives& point : points) {
    FORGE_CHECK(point.size() == dimensions);
    if (std::equal(point.begin(), point.end(), reference.begin(), std::greater<>())) above.push_back(point);
  }
  if (above.empty()) return 0;
  std::sort(above.begin(), above.end(), std::greater<>());
  if (dimensions == 1) return above[0][0] - reference[0];
  if (dimensions == 2) return SortedArea(above, reference[0], reference[1]);
  return Volume(std::move(above), reference);
}

std::size_t KneePoint(std::span<const Objectives> points) {
  FORGE_CHECK(!points.empty());
  const std::vector<std::size_t> front = NonDominatedFronts(points).front();
  std::vector<Objectives> best;
  for (const std::size_t i : front) best.push_back(points[i]);
  std::vector<double> sums(front.size());
  for (std::size_t m = 0; m < points[0].size(); ++m) {
    const Range range = RangeOf(best, m);
    if (range.high == range.low) continue;
    for (std::size_t i = 0; i < best.size(); ++i)
      sums[i] += (best[i][m] - range.low) / (range.high - range.low);
  }
  return front[static_cast<std::size_t>(std::max_element(sums.begin(), sums.end()) - sums.begin())];
}

}  // namespace forge::evolve
