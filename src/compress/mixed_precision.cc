// SPDX-License-Identifier: Apache-2.0
#include "compress/mixed_precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace forge::compress {
namespace {

double Slope(const StorageChoice& from, const StorageChoice& to) {
  return (from.divergence - to.divergence) / static_cast<double>(to.bytes - from.bytes);
}

/// The choices on the lower convex hull, from the smallest up: each step gains less per byte than that
/// before.
std::vector<std::size_t> Hull(const std::vector<StorageChoice>& choices) {
  std::vector<std::size_t> order(choices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return choices[a].bytes != choices[b].bytes ? choices[a].bytes < choices[b].bytes
                                                : choices[a].divergence < choices[b].divergence;
  });
  std::vector<std::size_t> hull;
  for (const std::size_t next : order) {
    if (!hull.empty() && choices[next].divergence >= choices[hull.back()].divergence) continue;
    while (hull.size() > 1 && Slope(choices[hull[hull.size() - 2]], choices[hull.back()]) <=
                                  Slope(choices[hull.back()], choices[next]))
      hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

}  // namespace

std::vector<std::size_t> ChooseStorage(const std::vector<std::vector<StorageChoice>>& units,
                                       std::uint64_t most_bytes) {
  struct Step {
    std::size_t unit, place;  // from hull[place] to hull[place + 1]
    double slope;
  };
  std::vector<std::vector<std::size_t>> hulls;
  std::vector<Step> steps;
  std::uint64_t bytes = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    FORGE_CHECK(!units[u].empty());
    hulls.push_back(Hull(units[u]));
    bytes += units[u][hulls[u][0]].bytes;
    for (std::size_t p = 0; p + 1 < hulls[u].size(); ++p)
      steps.push_back({u, p, Slope(units[u][hulls[u][p]], units[u][hulls[u][p + 1]])});
  }
  if (bytes > most_bytes)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot store the linears in {} bytes", most_bytes),
                 .why = fmt::format("all ternary they take {}", bytes),
                 .fix = "allow more bits per weight"});
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.slope > b.slope; });
  std::vector<std::size_t> place(units.size());
  for (const Step& step : steps) {
    if (place[step.unit] != step.place) continue;  // an earlier step of the unit did not fit
    const std::uint64_t added = units[step.unit][hulls[step.unit][step.place + 1]].bytes -
                                units[step.unit][hulls[step.unit][step.place]].bytes;
    if (bytes + added > most_bytes) continue;
    bytes += added;
    ++place[step.unit];
  }
  std::vector<std::size_t> chosen;
  for (std::size_t u = 0; u < units.size(); ++u) chosen.push_back(hulls[u][place[u]]);
  return chosen;
}

}  // namespace forge::compress
