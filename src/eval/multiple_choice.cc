// SPDX-License-Identifier: Apache-2.0
#include "eval/multiple_choice.h"

#include "base/check.h"
#include "text/jinja/builtins.h"

namespace forge::eval {

ChoicePrediction Predict(const std::vector<std::string>& choices, std::span<const PairScore> scores) {
  FORGE_CHECK(choices.size() == scores.size() && !choices.empty());
  const auto largest = [&](const auto& length) {
    int best = 0;
    double best_score = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const double score = scores[i].log_likelihood / length(choices[i]);
      if (i == 0 || score > best_score) {
        best = static_cast<int>(i);
        best_score = score;
      }
    }
    return best;
  };
  return {
      .best = largest([](const std::string&) { return 1.0; }),
      .best_norm = largest([](const std::string& choice) {
        return static_cast<double>(text::jinja::Characters(choice).size());
      }),
      .best_bytes = largest([](const std::string& choice) { return static_cast<double>(choice.size()); })};
}

std::vector<TokenPair> ChoicePairs(const ModelSession& session, const TaskItem& item) {
  const bool is_blank = item.delimiter.find_first_not_of(" \t\n") == std::string::npos;
  const std::string delimiter = session.chat && is_blank ? "" : item.delimiter;
  std::vector<TokenPair> pairs;
  for (const std::string& choice : item.choices)
    pairs.push_back(EncodePair(session, item.context, delimiter + choice));
  return pairs;
}

}  // namespace forge::eval
