// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/native_model.h"
#include "text/tokenizer.h"
#include "train/thought_job.h"

namespace forge::reason {

/// How a thought stands in the text: prompt, opening tokens, the thought, closing tokens, suffix, answer. The
/// suffix is forced in every arm, with and without a thought, so that arms differ in the thought only
/// (quiet-star.md 4.5).
struct ThoughtFormat {
  std::vector<int> opening, closing;
  std::string suffix;                  // "=", or "\nThe answer is"
  int thought_length = 3;              // tokens; all are generated
  int answer_length = 4;               // most tokens of an answer, its newline included
  std::vector<int> banned;             // never generated, in a thought or an answer
  std::vector<int> banned_in_thought;  // besides: what may end an answer but not a thought
};

/// A question of the reasoning stage: its text up to where a thought may come, and the gold answer.
struct Question {
  std::string prompt;
  std::string answer;
};

/// A model that can think: plain weights, and with a mixing head (Quiet-STaR) its answers mix the predictions
/// with and without the thought; without one, the answer is predicted after the thought alone.
struct ThinkingModel {
  runtime::NativeModel* model = nullptr;
  const text::Tokenizer* tokenizer = nullptr;
  ThoughtFormat format;
  std::optional<train::MixingHead> mixing_head;
};

/// Copies of the weights in which the rows of two unused ids of the embedding hold the learned meta tokens.
model::ModelWeights WithMetaTokens(const model::ModelWeights& weights, int start_id,
                                   const std::vector<float>& start, int end_id,
                                   const std::vector<float>& end);

/// One thought for each question: greedy, or sampled at temperature 1 with a seed for each question.
std::vector<std::vector<int>> Think(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                    bool sampled, std::uint64_t seed);

/// The answer to each question after the thought of the same index: greedy, up to a newline. An empty list of
/// thoughts answers directly. Texts without the newline and surrounding spaces.
std::vector<std::string> Answer(const ThinkingModel& thinker, const std::vector<Question>& questions,
                                const std::vector<std::vector<int>>& thoughts);

/// Probabilities of the first token of the answer after the given thoughts: [questions][vocab_size], banned
/// ids at 0.
std::vector<std::vector<float>> FirstTokenProbabilities(const ThinkingModel& thinker,
                                                        const std::vector<Question>& questions,
                                                        const std::vector<std::vector<int>>& thoughts);

}  // namespace forge::reason
