// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "eval/item.h"
#include "model/language_model.h"
#include "text/tokenizer.h"

namespace forge::eval {

/// What answers cost: tokens of prompts and of given continuations that were read, and tokens written.
struct TokenCount {
  std::int64_t read = 0, written = 0;
};

struct AnswerOptions {
  /// Leave off an answer once it is no more what the item expects, whatever follows: a model that writes
  /// nonsense then costs a token or two an item. The answer that comes back is only its beginning.
  bool stop_when_wrong = false;
};

/// The text that a model writes after a prompt: greedy, up to (not including) the first newline. `tokens`, if
/// given, is added to.
std::vector<std::string> GreedyAnswers(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                                       const std::vector<Item>& items, const AnswerOptions& options = {},
                                       TokenCount* tokens = nullptr);

/// Whether an answer counts: equal to the completion without its newline; where the completion holds "]="
/// (written states), only what follows the last "=" is compared.
bool IsCorrect(const Item& item, const std::string& answer);

/// Whether some continuation of this beginning of an answer is correct. Where only what follows the last "="
/// counts, every beginning can still become right.
bool CanBecomeCorrect(const Item& item, std::string_view beginning);

/// One score for each item, higher is better: exact match gives 0 or 1, negative log-likelihood gives minus
/// the mean nats per token of the completion. `tokens`, if given, is added to. Wrong answers are left off
/// where they first go wrong, which does not change the scores.
std::vector<double> ScoreItems(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                               const std::vector<Item>& items, Metric metric, TokenCount* tokens = nullptr);

double Mean(const std::vector<double>& values);

}  // namespace forge::eval
