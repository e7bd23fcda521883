// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "pipeline/reason_config.h"
#include "reason/thinking_model.h"

namespace forge::pipeline {

/// What the reasoning stage asks: questions of the training split by number of steps, and test questions.
struct QuestionSet {
  std::string name;
  reason::ThoughtFormat format;                         // of the test questions
  std::vector<std::vector<reason::Question>> training;  // [steps - 1]; empty: this set is only for testing
  std::vector<reason::Question> selection, test;
};

/// "starter": direct modular sums of three operations; thoughts between <|startofthought|> and
/// <|endofthought|> after the sum, training sums of one to three operations. "gsm8k:FILE": the JSONL of
/// GSM8K; questions and final numbers, test only. Throws Error(kInput) when there are fewer test questions
/// than the A/B test asks for.
QuestionSet LoadQuestions(const ReasonConfig& config, const text::Tokenizer& tokenizer);

}  // namespace forge::pipeline
