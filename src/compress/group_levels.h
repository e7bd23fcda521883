// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "io/gguf_blocks.h"
#include "io/k_quant_blocks.h"

namespace forge::compress {

/// The values that the weights of one group may take, and where one gives way to the next.
struct GroupLevels {
  static constexpr std::size_t kMost = 32;
  std::size_t count = 0;             // of levels
  float per_step = 0;                // 1 / the mean distance of neighbours: where to look first
  std::array<float, kMost> level{};  // rising
  std::array<float, 2> plane{};      // scales of the ternary planes, as far as there are some
  std::array<float, kMost - 1>
      threshold{};  // [count - 1], rising: level[k] is for values from threshold[k - 1] on

  /// The index of the level that a value becomes.
  std::size_t IndexOf(float value) const {
    const float guess = (value - level[0]) * per_step;
    auto index = static_cast<std::size_t>(std::min(std::max(0.0f, guess), static_cast<float>(count - 1)));
    while (index > 0 && value < threshold[index - 1]) --index;
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
  /// binary16 numbers, as they are stored. A group may be a whole row or tensor, unless `blocks` says more.
  GroupLevels (*fit)(std::span<const float> weights, std::span<const float> h);
  /// Of those that are no ternary planes: how the levels are stored, in groups of how many weights.
  struct Blocks {
    io::BlockType type;
    std::int64_t group;
    const io::KQuantFormat* k_quant = nullptr;  // groups of 256 weights share numbers: no `fit`, FitKQuant
    /// Rows have to be a multiple of it.
    std::int64_t width() const { return k_quant != nullptr ? io::kKQuantElements : group; }
  };
  std::optional<Blocks> blocks = std::nullopt;
};

/// The levels of a group of a block; one for a step of 0.
GroupLevels KQuantLevels(const io::KQuantFormat& format, const io::KQuantBlock& block, int group);

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
///   four         -d, 0, d, 2 d with d of either sign: the four codes of Q2_0; d of least h-weighted error
///                among many near the largest weight, then least squares
///   q4, q5       16 or 32 equally spaced values around 0 as Q4_0 and Q5_0 have them, the scale of least
///                h-weighted error among those near the largest weight
///   q2_k, q3_k, q4_k, q5_k  the K types of GGUF (io/k_quant_fit.h)
const std::vector<Quantiser>& Quantisers();
/// Throws Error(kUsage) with the nearest name for one that is not there.
const Quantiser& FindQuantiser(std::string_view name);

}  // namespace forge::compress
