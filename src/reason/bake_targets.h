// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reason/thinking_model.h"

namespace forge::reason {

/// What a baked model should predict as the first token of its answer: the mean over M sampled thoughts z of
/// the thinking model's distribution, E_z P(y | question, z) (context distillation, quiet-star.md 3 a). No
/// gold answers.
struct BakeTarget {
  std::vector<int> tokens;  // prompt, suffix, then the most likely first token and the newline
  int answer_position = 0;  // index of that first token
  std::vector<std::pair<int, float>> probabilities;  // those above 1e-4, renormalised
};

/// One target a question. sampled_thoughts = 0: the direct distribution instead, for the control arm C0.
std::vector<BakeTarget> MakeBakeTargets(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                        int sampled_thoughts, std::uint64_t seed);

}  // namespace forge::reason
