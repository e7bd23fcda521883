// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reason/thinking_model.h"

namespace forge::reason {

/// The arms of an A/B test (quiet-star.md 4.1), all on the same questions with the same limits and
/// extraction:
///   direct    no thought (A0; B0 and C0 with other weights)
///   thought   a greedy thought of its own (A1, B1)
///   filler    as many dots as a thought has tokens (A2): is it only the extra computation?
///   shuffled  the thought of the next question (A3): is it only the form?
enum class Arm { kDirect, kThought, kFiller, kShuffled };

/// Whether each question was answered right, in question order.
std::vector<bool> RunArm(const ThinkingModel& thinker, const std::vector<Question>& questions, Arm arm);

/// An answer counts if it equals the gold answer; where the gold answer is a number, if the last number of
/// the answer, without commas, dollar signs and a trailing ".0", equals it.
bool IsRight(const std::string& answer, const std::string& gold);

}  // namespace forge::reason
