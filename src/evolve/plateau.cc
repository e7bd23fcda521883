// SPDX-License-Identifier: Apache-2.0
#include "evolve/plateau.h"

#include <algorithm>

namespace forge::evolve {

bool HasPlateaued(std::span<const double> best, const PlateauRule& rule) {
  int flat = 0;
  for (std::size_t end = static_cast<std::size_t>(rule.window); end <= best.size(); ++end) {
    const auto window =
        best.subspan(end - static_cast<std::size_t>(rule.window), static_cast<std::size_t>(rule.window));
    const auto [low, high] = std::minmax_element(window.begin(), window.end());
    flat = *high - *low < rule.threshold ? flat + 1 : 0;
  }
  return flat >= rule.patience;
}

}  // namespace forge::evolve
