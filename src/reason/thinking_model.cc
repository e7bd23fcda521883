// SPDX-License-Identifier: Apache-2.0
#include "reason/thinking_model.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace forge::reason {
namespace {

/// Tokens up to and including the forced suffix.
std::vector<int> Context(const ThinkingModel& thinker, const Question& question,
                         const std::vector<int>* thought) {
  const ThoughtFormat& format = thinker.format;
  std::vector<int> tokens = thinker.tokenizer->Encode(question.prompt);
  if (thought != nullptr) {
    tokens.insert(tokens.end(), format.opening.begin(), format.opening.end());
    tokens.insert(tokens.end(), thought->begin(), thought->end());
    tokens.insert(tokens.end(), format.closing.begin(), format.closing.end());
  }
  const std::vector<int> suffix = thinker.tokenizer->Encode(format.suffix);
  tokens.insert(tokens.end(), suffix.begin(), suffix.end());
  return tokens;
}

/// Mixed logits [sequences, vocab_size] of sequences without and with thoughts.
std::vector<float> MixedLogits(const ThinkingModel& thinker, const std::vector<std::vector<int>>& base,
                               const std::vector<std::vector<int>>& thought) {
  const std::vector<float> base_states = thinker.model->LastHidden(base),
                           thought_states = thinker.model->LastHidden(thought);
  std::vector<float> logits = thinker.model->HeadLogits(base_states);
  const std::vector<float> after = thinker.model->HeadLogits(thought_states);
  const auto hidden = static_cast<std::size_t>(thinker.model->config().hidden_size),
             vocabulary = static_cast<std::size_t>(thinker.model->config().vocab_size);
  for (std::size_t i = 0; i < base.size(); ++i) {
    const float weight = train::MixingWeight(*thinker.mixing_head, base_states.data() + i * hidden,
                                             thought_states.data() + i * hidden);
    for (std::size_t v = 0; v < vocabulary; ++v)
      logits[i * vocabulary + v] =
          (1 - weight) * logits[i * vocabulary + v] + weight * after[i * vocabulary + v];
  }
  return logits;
}

std::string Trimmed(std::string text) {
  text = text.substr(0, text.find('\n'));
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> AnswerMixed(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                     const std::vector<std::vector<int>>& thoughts) {
  const auto vocabulary = static_cast<std::size_t>(thinker.model->config().vocab_size);
  std::vector<std::vector<int>> base, with_thought, answers(questions.size());
  for (std::size_t i = 0; i < questions.size(); ++i) {
    base.push_back(Context(thinker, questions[i], nullptr));
    with_thought.push_back(Context(thinker, questions[i], &thoughts[i]));
  }
  for (int t = 0; t < thinker.format.answer_length; ++t) {
    std::vector<float> logits = MixedLogits(thinker, base, with_thought);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      float* row = logits.data() + i * vocabulary;
      for (const int id : thinker.format.banned) row[id] = -INFINITY;
      const int token = static_cast<int>(std::max_element(row, row + vocabulary) - row);
      answers[i].push_back(token);
      base[i].push_back(token);
      with_thought[i].push_back(token);
    }
  }
  std::vector<std::string> texts;
  for (const std::vector<int>& answer : answers)
    texts.push_back(Trimmed(thinker.tokenizer->Decode(answer, true)));
  return texts;
}

}  // namespace

model::ModelWeights WithMetaTokens(const model::ModelWeights& weights, int start_id,
                                   const std::vector<float>& start, int end_id,
                                   const std::vector<float>& end) {
  model::ModelWeights changed = weights;
  model::Tensor& table = changed.at("model.embed_tokens.weight");
  const auto hidden = static_cast<std::size_t>(table.shape[1]);
  FORGE_CHECK(start.size() == hidden && end.size() == hidden && std::max(start_id, end_id) < table.shape[0]);
  std::copy(start.begin(), start.end(),
            table.values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(start_id) * hidden));
  std::copy(end.begin(), end.end(),
            table.values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(end_id) * hidden));
  return changed;
}

std::vector<std::vector<int>> Think(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                    bool sampled, std::uint64_t seed) {
  std::vector<model::GenerateRequest> requests;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    std::vector<int> tokens = thinker.tokenizer->Encode(questions[i].prompt);
    tokens.insert(tokens.end(), thinker.format.opening.begin(), thinker.format.opening.end());
    requests.push_back({std::move(tokens), seed * 1'000'003 + i});
  }
  std::vector<int> banned = thinker.format.banned;
  banned.insert(banned.end(), thinker.format.banned_in_thought.begin(),
                thinker.format.banned_in_thought.end());
  for (const int id : thinker.model->config().eos_token_ids) banned.push_back(id);
  std::vector<std::vector<int>> thoughts;
  for (const model::Generation& generation :
       thinker.model->Generate(requests, {.max_new_tokens = thinker.format.thought_length,
                                         .temperature = sampled ? 1.0 : 0.0,
                                         .banned_token_ids = banned}))
    thoughts.push_back(generation.tokens);
  return thoughts;
}

std::vector<std::string> Answer(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                const std::vector<std::vector<int>>& thoughts) {
  FORGE_CHECK(thoughts.empty() || thoughts.size() == questions.size());
  if (!thoughts.empty() && thinker.mixing_head) return AnswerMixed(thinker, questions, thoughts);
  std::vector<model::GenerateRequest> requests;
  for (std::size_t i = 0; i < questions.size(); ++i)
    requests.push_back({Context(thinker, questions[i], thoughts.empty() ? nullptr : &thoughts[i]), 0});
  model::GenerateOptions options{.max_new_tokens = thinker.format.answer_length,
                                 .stop_token_ids = thinker.model->config().eos_token_ids,
                                 .banned_token_ids = thinker.format.banned};
  const std::vector<int> newline = thinker.tokenizer->Encode("\n");
  options.stop_token_ids.insert(options.stop_token_ids.end(), newline.begin(), newline.end());
  std::vector<std::string> texts;
  for (const model::Generation& generation : thinker.model->Generate(requests, options))
    texts.push_back(Trimmed(thinker.tokenizer->Decode(generation.tokens, true)));
  return texts;
}

std::vector<std::vector<float>> FirstTokenProbabilities(const ThinkingModel& thinker,
                                                        const std::vector<Question>& questions,
                                                        const std::vector<std::vector<int>>& thoughts) {
  const auto vocabulary = static_cast<std::size_t>(thinker.model->config().vocab_size);
  std::vector<std::vector<int>> base, with_thought;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    base.push_back(Context(thinker, questions[i], nullptr));
    with_thought.push_back(thoughts.empty() ? base.back() : Context(thinker, questions[i], &thoughts[i]));
  }
  const std::vector<float> logits = thinker.mixing_head && !thoughts.empty()
                                        ? MixedLogits(thinker, base, with_thought)
                                        : thinker.model->HeadLogits(thinker.model->LastHidden(with_thought));
  std::vector<std::vector<float>> result;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    std::vector<double> row(logits.begin() + static_cast<std::ptrdiff_t>(i * vocabulary),
                            logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * vocabulary));
    for (const int id : thinker.format.banned) row[static_cast<std::size_t>(id)] = -INFINITY;
    const double highest = *std::max_element(row.begin(), row.end());
    double total = 0;
    for (double& value : row) total += value = std::exp(value - highest);
    std::vector<float>& probabilities = result.emplace_back(vocabulary);
    for (std::size_t v = 0; v < vocabulary; ++v) probabilities[v] = static_cast<float>(row[v] / total);
  }
  return result;
}

}  // namespace forge::reason
