// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "eval/item.h"
#include "model/language_model.h"
#include "text/tokenizer.h"

namespace forge::eval {

/// The text that a model writes after a prompt: greedy, up to (not including) the first newline.
std::vector<std::string> GreedyAnswers(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                                       const std::vector<Item>& items);

/// Whether an answer counts: equal to the completion without its newline; where the completion holds "]="
/// (written states), only what follows the last "=" is compared.
bool IsCorrect(const Item& item, const std::string& answer);

/// One score for each item, higher is better: exact match gives 0 or 1, negative log-likelihood gives minus
/// the mean nats per token of the completion.
std::vector<double> ScoreItems(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                               const std::vector<Item>& items, Metric metric);

double Mean(const std::vector<double>& values);

}  // namespace forge::eval
