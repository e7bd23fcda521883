// SPDX-License-Identifier: Apache-2.0
#include "eval/log_likelihood.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/check.h"
#include "base/error.h"

namespace forge::eval {
namespace {

constexpr char kSpace[] = " \t\n\r\f\v";

}  // namespace

TokenPair EncodePair(const ModelSession& session, const std::string& context,
                     const std::string& continuation) {
  TokenPair pair;
  if (session.chat) {
    pair.context = session.chat(context);
    std::string moved = continuation;  // the newline behind "assistant" goes over, as all white space does
    for (std::string piece; pair.context.size() > 1; pair.context.pop_back()) {
      piece = session.tokenizer.TokenBytes(pair.context.back());
      if (piece.empty() || piece.find_first_not_of(kSpace) != std::string::npos) break;
      moved = piece + moved;
    }
    pair.continuation = session.tokenizer.Encode(moved);
  } else if (context.empty()) {
    pair = {{session.PrefixToken()}, session.tokenizer.Encode(continuation)};
  } else {
    const std::size_t end = context.find_last_not_of(kSpace) + 1;  // npos + 1 is 0
    if (end == 0) {
      pair = {{session.PrefixToken()}, session.tokenizer.Encode(context + continuation)};
    } else {
      pair.context = session.Start(context.substr(0, end));
      const std::vector<int> whole = session.Start(context + continuation);
      const auto cut = static_cast<std::ptrdiff_t>(std::min(pair.context.size(), whole.size()));
      pair.continuation.assign(whole.begin() + cut, whole.end());
    }
  }
  if (pair.continuation.empty())
    throw Error({.what = "cannot score the continuation \"" + continuation.substr(0, 100) + "\"",
                 .why = "it has no token of its own behind its context",
                 .fix = "check the choices and target_delimiter of the task"});
  return pair;
}

std::vector<PairScore> ScorePairs(const ModelSession& session, std::span<const TokenPair> pairs,
                                  std::size_t& tokens_done) {
  const auto positions = static_cast<std::size_t>(session.model.config().max_position_embeddings);
  const auto vocabulary = static_cast<std::size_t>(session.model.config().vocab_size);
  std::vector<PairScore> scores(pairs.size());
  std::vector<model::ScoredSequence> sequences;
  std::vector<std::vector<double>> log_probs(pairs.size());  // by token, added in order: threads write apart
  std::unique_ptr<std::atomic<bool>[]> missed(new std::atomic<bool>[pairs.size()]());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const TokenPair& pair = pairs[i];
    FORGE_CHECK(!pair.context.empty() && !pair.continuation.empty());
    model::ScoredSequence sequence{pair.context, pair.context.size()};
    sequence.tokens.insert(sequence.tokens.end(), pair.continuation.begin(), pair.continuation.end());
    if (sequence.tokens.size() > positions + 1) {  // the end is kept; the last token needs no position
      const std::size_t extra = sequence.tokens.size() - positions - 1;
      sequence.tokens.erase(sequence.tokens.begin(),
                            sequence.tokens.begin() + static_cast<std::ptrdiff_t>(extra));
      sequence.prefix = sequence.prefix > extra + 1 ? sequence.prefix - extra : 1;
      scores[i].is_cut = true;
    }
    tokens_done += sequence.tokens.size();
    scores[i].tokens = static_cast<int>(sequence.tokens.size() - sequence.prefix);
    log_probs[i].resize(sequence.tokens.size() - sequence.prefix);
    sequences.push_back(std::move(sequence));
  }
  session.model.VisitScores(
      sequences, [&](std::size_t s, std::size_t position, const float* logits, double log_prob) {
        const model::ScoredSequence& sequence = sequences[s];
        log_probs[s][position - sequence.prefix] = log_prob;
        if (std::max_element(logits, logits + vocabulary) - logits != sequence.tokens[position])
          missed[s].store(true, std::memory_order_relaxed);
      });
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (const double log_prob : log_probs[i]) scores[i].log_likelihood += log_prob;
    scores[i].is_greedy = !missed[i].load(std::memory_order_relaxed);
  }
  return scores;
}

}  // namespace forge::eval
