// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace forge::compress {

/// The values that the weights of one group may take, and where one gives way to the next.
struct GroupLevels {
  static constexpr std::size_t kMost = 16;
  std::size_t count = 0;             // of levels
  std::array<float, kMost> level{};  // rising
  std::array<float, 2> plane{};      // scales of the ternary planes, as far as there are some
  std::array<float, kMost - 1>
      threshold{};  // [count - 1], rising: level[k] is for values from threshold[k - 1] on

  /// The index of the level that a value becomes.
  std::size_t IndexOf(float value) const {
    std::size_t index = 0;
    while (index + 1 < count && value >= threshold[index]) ++index;
    return index;
  }
  float Round(float value) const { return level[IndexOf(value)]; }
};

/// Levels with the thresholds half-way between them: every value becomes the nearest.
GroupLevels NearestLevels(std::span<const float> levels);
/// first * {-1, 0, 1} + second * {-1, 0, 1}; without a second: three levels.
GroupLevels PlaneLevels(float first, float second = 0);

/// A way to choose the levels of a group: one row of the table.
struct Quantiser {
  std::string_view name;
  std::string_view source;  // paper or place
  int planes;               // of ternary codes: 1, 2; 0: stored as numbers of some bits
  /// weights [n], h [n] (not negative; empty: all the same): how much each weight's error counts. Scales are
  /// binary16 numbers, as they are stored. A group may be a whole row or tensor.
  GroupLevels (*fit)(std::span<const float> weights, std::span<const float> h);
};

/// All of them, in the order of bitnet-ternary.md:
///   seed         s = mean|w|, ternary from 0.1 s on, scale s (the rule of the original program)
///   absmean      s = mean|w|, w / s to the nearest of -1, 0, 1 (BitNet b1.58, arXiv:2402.17764)
///   twn          from 0.7 mean|w| on, scale the mean of what is there (Li and Liu, arXiv:1605.04711)
///   seq          scale and support settle on each other from max|w| down, as a learned scale that starts
///                there does (SEQ of ParetoQ, arXiv:2502.02631, LSQ, arXiv:1902.08153, on the weights alone)
///   optimum      the exact minimum of sum (w - alpha t)^2 (group_ternary.h), h left out
///   weighted     the exact minimum of sum h (w - alpha t)^2
///   asymmetric   levels mu - alpha, mu, mu + alpha: alternating least squares, h-weighted, from the optimum
///   of
///                w - mean (PT2-LLM's iterative fit, arXiv:2510.03267, equation 5)
///   two-planes   alpha1 t1 + alpha2 t2: alternating least squares and nearest level, h-weighted, from the
///                optimum and that of what it leaves (PTQTP, arXiv:2509.16989)
///   q4           sixteen equally spaced values around 0 as Q4_0 has them, the scale of least h-weighted
///   error
///                among those near the largest weight
const std::vector<Quantiser>& Quantisers();
/// Throws Error(kUsage) with the nearest name for one that is not there.
const Quantiser& FindQuantiser(std::string_view name);

}  // namespace forge::compress
