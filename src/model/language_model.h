// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/model_config.h"

namespace forge::model {

/// Log-probabilities asked for: those of every token of each continuation, after the shared prefix.
struct ScoreRequest {
  std::vector<int> prefix;                      // at least one token; computed once for all continuations
  std::vector<std::vector<int>> continuations;  // each at least one token
};

/// One sequence of which everything behind the prefix is scored.
struct ScoredSequence {
  std::vector<int> tokens;  // at least one
  std::size_t prefix;       // tokens at its beginning that are not scored, at least one
};
/// What the model gives for tokens[position] of a sequence: the logits [vocab_size] before it, and its
/// natural log-probability. Called from several threads, in any order, for different (sequence, position).
using ScoreVisitor =
    std::function<void(std::size_t sequence, std::size_t position, const float* logits, double log_prob)>;

struct GenerateRequest {
  std::vector<int> prompt;  // at least one token
  std::uint64_t seed = 0;   // of this request's samples; only used when temperature > 0
};

struct GenerateOptions {
  int max_new_tokens = 64;
  double temperature = 0;             // 0: greedy; the lowest id wins a tie
  double top_p = 1;                   // (0, 1]: smallest set of tokens whose probability reaches it
  int top_k = 0;                      // 0: all
  std::vector<int> stop_token_ids;    // generation ends after one of these; it is part of the result
  std::vector<int> banned_token_ids;  // never generated
  bool log_probs = true;              // false: not wanted, which lets a greedy token cost less
  /// Called for each new token of each request (index, token); return false to stop that request.
  std::function<bool(std::size_t, int)> on_token;
};

struct Generation {
  std::vector<int> tokens;       // the new ones
  std::vector<float> log_probs;  // of each new token, at temperature 1 without top-p and top-k; if wanted
  bool stopped = false;          // by a stop token or on_token, not by max_new_tokens
};

/// What evaluation, search and reasoning know of a model: tokens in, numbers out. No torch type here or
/// above. Requests of one call are worked on together; the results do not depend on how they are batched.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelConfig& config() const = 0;
  /// result[request][continuation][token] = natural log of the probability of that token.
  virtual std::vector<std::vector<std::vector<float>>> Score(std::span<const ScoreRequest> requests) = 0;
  /// Visits every scored token. What sequences have in common at the beginning is computed once.
  virtual void VisitScores(std::span<const ScoredSequence> sequences, const ScoreVisitor& visit) const = 0;
  virtual std::vector<Generation> Generate(std::span<const GenerateRequest> requests,
                                           const GenerateOptions& options) = 0;
  /// Logits after every position of `tokens`: [tokens.size(), vocab_size].
  virtual std::vector<float> Logits(std::span<const int> tokens) = 0;
};

}  // namespace forge::model
