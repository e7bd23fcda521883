// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "eval/task_file.h"

namespace forge::eval {

struct ExtractedAnswer {
  std::string text;
  bool is_parsed = true;  // false: a step of the filter found nothing and gave its fallback
};

/// What a filter makes of a text. Its steps, by function:
///   regex              the match that group_select names (0 the first, -1 the last); of a match with groups
///                      the first one that is not empty; without white space at its ends
///   boxed              what the last \boxed{..} (or \fbox{..}, "\boxed x") holds
///   code_block         what the first ``` block holds; a text without one stays
///   remove_whitespace  without white space at the ends
///   lowercase, uppercase
///   take_first         nothing: forge asks once
ExtractedAnswer ExtractAnswer(const AnswerFilter& filter, const std::string& text);

/// Equal after what the metric ignores has gone from both: regexes_to_ignore, case, ASCII punctuation,
/// digits.
bool IsExactMatch(const TaskMetric& metric, const std::string& answer, const std::string& target);

/// The number that a text is, without $ % , and a full stop at the end; nullopt if it is none.
std::optional<double> NumberIn(const std::string& text);
/// Both are numbers and equal up to 1e-6 of their size ("$1,000." and "1000.0").
bool IsSameNumber(const std::string& answer, const std::string& target);

/// What the last \boxed{..} of a solution holds; nullopt if there is none or its braces are not closed.
std::optional<std::string> LastBoxed(const std::string& solution);

}  // namespace forge::eval
