// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/statistics.h"

namespace forge::reason {

/// The arms of both A/B tests on the same test questions, and the guards: scores of input and baked model by
/// domain.
struct ArmResults {
  std::vector<bool> a0, a1, a2, a3;  // the input model: direct, thought, filler, another's thought
  std::vector<bool> c0, b0, b1;  // control-trained direct; baked direct and with thought. Empty: not baked
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>>
      guards;  // domain: (input, baked)
};

struct VerdictRules {
  double min_thought_gain = 0.02;  // A1 - A0
  double significance = 0.01;
  double max_guard_loss = 0.01;  // of the accuracy of a domain
};

/// What the stage says, by an intersection-union rule: every condition must hold, so none needs a correction.
struct ReasonVerdict {
  bool baked = false;
  std::string why;  // of no_gain: the first condition that does not hold
  double thought_gain = 0, placebo_gain = 0,
         p_value = 1;  // gains as shares; placebo: the better one of A2 and A3
  double bake_p_value = 1;
  std::optional<double> retention;  // (B0 - A0) / (A1 - A0)
  std::optional<eval::Interval> retention_interval;
};

/// Thoughts help (A1 > A0 by the mid-p McNemar test and by min_thought_gain), the placebos do not explain it
/// (A1 beats each of A2 and A3), baking beats the control (B0 > C0), and no guard falls by more than
/// max_guard_loss.
ReasonVerdict Judge(const ArmResults& results, const VerdictRules& rules, std::uint64_t seed);

/// Only the first test, before anything is trained: whether it is worth going on.
ReasonVerdict JudgeThoughts(const ArmResults& results, const VerdictRules& rules);

}  // namespace forge::reason
