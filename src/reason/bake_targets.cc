// SPDX-License-Identifier: Apache-2.0
#include "reason/bake_targets.h"

#include <algorithm>

namespace forge::reason {

std::vector<BakeTarget> MakeBakeTargets(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                        int sampled_thoughts, std::uint64_t seed) {
  const auto vocabulary = static_cast<std::size_t>(thinker.model->config().vocab_size);
  std::vector<std::vector<double>> mean(questions.size(), std::vector<double>(vocabulary));
  const int rounds = std::max(1, sampled_thoughts);
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::vector<int>> thoughts;
    if (sampled_thoughts > 0)
      thoughts = Think(thinker, questions, true, seed * 64 + static_cast<std::uint64_t>(round));
    const auto probabilities = FirstTokenProbabilities(thinker, questions, thoughts);
    for (std::size_t i = 0; i < questions.size(); ++i)
      for (std::size_t v = 0; v < vocabulary; ++v)
        mean[i][v] += static_cast<double>(probabilities[i][v]) / rounds;
  }
  constexpr double kSmallest = 1e-4;
  const std::vector<int> suffix = thinker.tokenizer->Encode(thinker.format.suffix),
                         newline = thinker.tokenizer->Encode("\n");
  std::vector<BakeTarget> targets;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    BakeTarget target{.tokens = thinker.tokenizer->Encode(questions[i].prompt)};
    target.tokens.insert(target.tokens.end(), suffix.begin(), suffix.end());
    target.answer_position = static_cast<int>(target.tokens.size());
    target.tokens.push_back(
        static_cast<int>(std::max_element(mean[i].begin(), mean[i].end()) - mean[i].begin()));
    target.tokens.insert(target.tokens.end(), newline.begin(), newline.end());
    double total = 0;
    for (const double probability : mean[i]) total += probability >= kSmallest ? probability : 0;
    for (std::size_t v = 0; v < vocabulary; ++v)
      if (mean[i][v] >= kSmallest)
        target.probabilities.emplace_back(static_cast<int>(v), static_cast<float>(mean[i][v] / total));
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace forge::reason
