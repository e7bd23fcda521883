// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "text/merge_table.h"
#include "text/token_index.h"
#include "text/tokenizer_data.h"

namespace forge::text {

/// The merges that SentencePiece's BPE makes from scores (Kudo and Richardson 2018, arXiv:1808.06226;
/// sentencepiece, src/bpe_model.cc): any two neighbours whose text together is a piece, the highest score
/// first, of equal scores the leftmost.
struct ScoreMerges {
  /// Every way to put a piece together from two symbols. Equal scores have equal ranks.
  std::vector<MergeTable::Rule> rules;
  /// Symbols of characters that occur in pieces but are none themselves; numbered from the number of tokens.
  std::unordered_map<char32_t, int> extra_symbols;
};

/// `data.scores` must be as many as the tokens. Tokens that are not valid UTF-8 take no part. The cost is
/// about that of a look-up for each character of the vocabulary.
ScoreMerges MergesOfScores(const TokenizerData& data, const TokenIndex& index);

/// Scores by token from which the merges of `data` follow: those of one token lie side by side in the list,
/// and are all the ways to make it. Tokens whose merges are mixed share one score; that is right only for
/// runs of "▁", which is tried out. Sets `problem`, and the scores mean nothing, if no scores would give the
/// same ids.
std::vector<float> ScoresOfMerges(const TokenizerData& data, std::string& problem);

/// True for the types that SentencePiece merges to: normal, user-defined and unused.
bool IsPiece(TokenType type);

}  // namespace forge::text
