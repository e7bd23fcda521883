// SPDX-License-Identifier: Apache-2.0
#include "eval/evaluator.h"

#include <algorithm>
#include <numeric>

namespace forge::eval {
namespace {

constexpr int kSpareTokens = 4;  // an answer that is a little too long must be seen to be too long
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::string Expected(const Item& item) {
  std::string expected = item.completion;
  while (!expected.empty() && expected.back() == '\n') expected.pop_back();
  return expected;
}

/// With written states before it, only the result counts.
bool OnlyEndCounts(const std::string& expected) { return expected.find("]=") != std::string::npos; }

}  // namespace

std::vector<std::string> GreedyAnswers(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                                       const std::vector<Item>& items, const AnswerOptions& answer_options,
                                       TokenCount* tokens) {
  std::vector<model::GenerateRequest> requests;
  model::GenerateOptions options{.max_new_tokens = 0, .stop_token_ids = model.config().eos_token_ids};
  for (const Item& item : items) {
    requests.push_back({tokenizer.Encode(item.prompt), 0});
    if (tokens != nullptr) tokens->read += static_cast<std::int64_t>(requests.back().prompt.size());
    options.max_new_tokens = std::max(
        options.max_new_tokens, static_cast<int>(tokenizer.Encode(item.completion).size()) + kSpareTokens);
  }
  const std::vector<int> newline = tokenizer.Encode("\n");
  options.stop_token_ids.insert(options.stop_token_ids.end(), newline.begin(), newline.end());
  std::vector<std::vector<int>> written(items.size());
  if (answer_options.stop_when_wrong)
    options.on_token = [&](std::size_t index, int token) {
      written[index].push_back(token);
      return CanBecomeCorrect(items[index], tokenizer.Decode(written[index], true));
    };
  std::vector<std::string> answers;
  for (const model::Generation& generation : model.Generate(requests, options)) {
    if (tokens != nullptr) tokens->written += static_cast<std::int64_t>(generation.tokens.size());
    std::string text = tokenizer.Decode(generation.tokens, true);
    answers.push_back(text.substr(0, text.find('\n')));
  }
  return answers;
}

bool IsCorrect(const Item& item, const std::string& answer) {
  const std::string expected = Expected(item);
  if (!OnlyEndCounts(expected)) return answer == expected;
  const std::size_t ours = answer.rfind('=');
  return ours != std::string::npos && answer.substr(ours) == expected.substr(expected.rfind('='));
}

bool CanBecomeCorrect(const Item& item, std::string_view beginning) {
  const std::string expected = Expected(item);
  if (OnlyEndCounts(expected)) return true;
  if (beginning.find('\n') != std::string_view::npos)
    return beginning.substr(0, beginning.find('\n')) == expected;
  // A character that is not whole yet is decoded as the replacement character.
  while (beginning.ends_with(kReplacement)) beginning.remove_suffix(kReplacement.size());
  return expected.starts_with(beginning);
}

std::vector<double> ScoreItems(model::LanguageModel& model, const text::Tokenizer& tokenizer,
                               const std::vector<Item>& items, Metric metric, TokenCount* tokens) {
  std::vector<double> scores;
  if (metric == Metric::kExactMatch) {
    const std::vector<std::string> answers =
        GreedyAnswers(model, tokenizer, items, {.stop_when_wrong = true}, tokens);
    for (std::size_t i = 0; i < items.size(); ++i) scores.push_back(IsCorrect(items[i], answers[i]) ? 1 : 0);
    return scores;
  }
  std::vector<model::ScoreRequest> requests;
  for (const Item& item : items) {
    requests.push_back({tokenizer.Encode(item.prompt), {tokenizer.Encode(item.completion)}});
    if (tokens != nullptr)
      tokens->read +=
          static_cast<std::int64_t>(requests.back().prefix.size() + requests.back().continuations[0].size());
  }
  for (const auto& continuations : model.Score(requests)) {
    double sum = 0;
    for (const float log_prob : continuations[0]) sum += static_cast<double>(log_prob);
    scores.push_back(sum / static_cast<double>(continuations[0].size()));
  }
  return scores;
}

double Mean(const std::vector<double>& values) {
  return values.empty()
             ? 0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace forge::eval
