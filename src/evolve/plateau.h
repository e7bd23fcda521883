// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace forge::evolve {

struct PlateauRule {
  int window = 3;           // generations looked at
  double threshold = 0.01;  // best fitness must differ by at least this within the window
  int patience = 5;         // windows in a row without such a difference before the search stops
};

/// Whether a search with these best scores by generation has stopped getting better: for the last `patience`
/// generations, the highest and lowest of the `window` values that end there differ by less than `threshold`.
bool HasPlateaued(std::span<const double> best_by_generation, const PlateauRule& rule);

}  // namespace forge::evolve
