// SPDX-License-Identifier: Apache-2.0
#include "evolve/box.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace forge::evolve {

bool Box::Contains(std::span<const double> point) const {
  if (point.size() != size()) return false;
  for (std::size_t i = 0; i < size(); ++i)
    if (!(point[i] >= dimensions[i].low && point[i] <= dimensions[i].high)) return false;
  return true;
}

void Box::Check() const {
  std::vector<std::string> problems;
  if (dimensions.empty()) problems.emplace_back("it has no dimensions");
  for (const Dimension& d : dimensions)
    if (!(d.low < d.high) || !std::isfinite(d.low) || !std::isfinite(d.high))
      problems.push_back(fmt::format("{} goes from {} to {}", d.name, d.low, d.high));
  if (!problems.empty())
    throw Error({.what = "cannot search this box",
                 .why = fmt::format("{}", fmt::join(problems, "; ")),
                 .fix = "give every gene a low below its high; leave genes with one value out"});
}

void Box::CheckPoint(std::span<const double> point, const std::string& name) const {
  if (point.size() != size())
    throw Error({.what = fmt::format("cannot start from {}", name),
                 .why = fmt::format("it has {} values; the box has {} dimensions", point.size(), size()),
                 .fix = "give one value for each dimension"});
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < size(); ++i)
    if (!(point[i] >= dimensions[i].low && point[i] <= dimensions[i].high))
      problems.push_back(fmt::format("{} is {}; the box has {} to {}", dimensions[i].name, point[i],
                                     dimensions[i].low, dimensions[i].high));
  if (!problems.empty())
    throw Error({.what = fmt::format("cannot start from {}", name),
                 .why = fmt::format("{}", fmt::join(problems, "; ")),
                 .fix = "move the point into the box, or widen the box"});
}

std::vector<double> Box::ToUnit(std::span<const double> point) const {
  FORGE_CHECK(point.size() == size());
  std::vector<double> unit(size());
  for (std::size_t i = 0; i < size(); ++i)
    unit[i] = (point[i] - dimensions[i].low) / (dimensions[i].high - dimensions[i].low);
  return unit;
}

std::vector<double> Box::FromUnit(std::span<const double> unit) const {
  FORGE_CHECK(unit.size() == size());
  std::vector<double> point(size());
  for (std::size_t i = 0; i < size(); ++i) {
    const auto& [name, low, high] = dimensions[i];
    point[i] = std::clamp(low + unit[i] * (high - low), low, high);
  }
  return point;
}

std::vector<double> Box::RandomPoint(Random& random) const {
  std::vector<double> unit(size());
  for (double& value : unit) value = random.Uniform();
  return FromUnit(unit);
}

double ReflectIntoUnit(double value) {
  if (!std::isfinite(value)) return 0.5;
  const double folded = std::fmod(std::abs(value), 2.0);
  return folded > 1 ? 2 - folded : folded;
}

}  // namespace forge::evolve
