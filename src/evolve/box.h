// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/philox.h"

namespace forge::evolve {

/// The region that a search looks in: low <= x <= high in each dimension. Algorithms work in unit
/// coordinates, where every dimension is [0, 1], so that step sizes and spreads are shares of the box's
/// width.
struct Box {
  struct Dimension {
    std::string name;
    double low, high;
  };
  std::vector<Dimension> dimensions;

  std::size_t size() const { return dimensions.size(); }
  bool Contains(std::span<const double> point) const;
  /// Throws Error naming every dimension whose low is not below its high or that is not finite, and a box
  /// without dimensions. A gene with one possible value has no place in a box: the caller fixes it.
  void Check() const;
  /// As Check, for a point that is to lie in the box; `name` says which point it is.
  void CheckPoint(std::span<const double> point, const std::string& name) const;

  /// (point - low) / (high - low), dimension by dimension.
  std::vector<double> ToUnit(std::span<const double> point) const;
  /// The inverse; what rounding pushes out of the box is put on its border.
  std::vector<double> FromUnit(std::span<const double> unit) const;
  /// Uniform in the box.
  std::vector<double> RandomPoint(Random& random) const;
};

/// Folds the line into [0, 1] as a mirror at each end does: 1.2 -> 0.8, -0.2 -> 0.2, 2.3 -> 0.3. Continuous,
/// and the identity inside. Not finite gives 0.5.
double ReflectIntoUnit(double value);

}  // namespace forge::evolve
