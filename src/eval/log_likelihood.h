// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/model_session.h"

namespace forge::eval {

/// A continuation and what stands before it, in tokens.
struct TokenPair {
  std::vector<int> context, continuation;  // each at least one
};

/// Splits as lm-evaluation-harness does: white space at the end of the context goes to the continuation, both
/// are tokenized together, and the continuation's tokens are those behind the tokens of the context alone. An
/// empty context is the prefix token. With a chat template the rest of the context keeps its
/// own tokens.
TokenPair EncodePair(const ModelSession& session, const std::string& context,
                     const std::string& continuation);

struct PairScore {
  double log_likelihood = 0;  // natural, summed over the continuation
  int tokens = 0;             // of the continuation
  bool is_greedy = false;     // every token is the likeliest one at its place
  bool is_cut = false;        // the model's positions did not hold all; the beginning was left out
};

/// Scores every pair, those of one call together: what contexts have in common is computed once.
/// `tokens_done` grows by the tokens that were given to the model.
std::vector<PairScore> ScorePairs(const ModelSession& session, std::span<const TokenPair> pairs,
                                  std::size_t& tokens_done);

}  // namespace forge::eval
