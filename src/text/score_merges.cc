// SPDX-License-Identifier: Apache-2.0
#include "text/score_merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "text/utf8.h"

namespace forge::text {
namespace {

/// The number of each score in the order from the highest to the lowest. What is not a number comes last.
std::vector<std::uint32_t> RanksOf(const std::vector<float>& scores) {
  const auto score = [&](int id) { return scores[id] == scores[id] ? scores[id] : -HUGE_VALF; };
  std::vector<int> order(scores.size());
  for (std::size_t id = 0; id < order.size(); ++id) order[id] = static_cast<int>(id);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return score(a) > score(b); });
  std::vector<std::uint32_t> ranks(scores.size());
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && score(order[i]) < score(order[i - 1])) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

bool IsRunOfSpaceSigns(std::string_view token) {
  const std::string_view sign = kSpaceSign;
  while (token.starts_with(sign)) token.remove_prefix(sign.size());
  return token.empty();
}

/// True if the rules give the same symbols for runs of the symbol `sign` whether each has its own rank or all
/// have one.
bool RunsMergeTheSame(std::vector<MergeTable::Rule> rules, int sign) {
  constexpr int kLongest = 200;  // Llama 2 has runs of up to 16 as tokens
  const MergeTable ranked(rules);
  for (MergeTable::Rule& rule : rules) rule.rank = 0;
  const MergeTable tied(rules);
  MergeTable::Scratch scratch;
  for (int count = 1; count <= kLongest; ++count) {
    std::vector<int> a(count, sign), b(count, sign);
    ranked.Apply(a, scratch);
    tied.Apply(b, scratch);
    if (a != b) return false;
  }
  return true;
}

/// The merges from `begin` to `end` of the list make tokens that no others make, and cannot be cut into two
/// such parts. True if one score for all of them gives the same ids.
bool MayShareAScore(const TokenizerData& data, const TokenIndex& index, std::size_t begin, std::size_t end) {
  std::vector<MergeTable::Rule> rules;
  bool one_token = true;
  for (std::size_t rank = begin; rank < end; ++rank) {
    const Merge& merge = data.merges[rank];
    rules.push_back({merge.left, merge.right, merge.result, static_cast<std::uint32_t>(rank)});
    one_token = one_token && merge.result == data.merges[begin].result;
  }
  const std::optional<int> sign = index.Find(kSpaceSign);
  const bool runs = sign && std::all_of(rules.begin(), rules.end(), [&](const MergeTable::Rule& rule) {
                      return IsRunOfSpaceSigns(data.tokens[rule.result]);
                    });
  return one_token || (runs && RunsMergeTheSame(std::move(rules), *sign));
}

}  // namespace

std::vector<float> ScoresOfMerges(const TokenizerData& data, std::string& problem) {
  const TokenIndex index(data.tokens);
  std::vector<std::size_t> last(data.tokens.size());  // the last merge that makes the token
  for (std::size_t rank = 0; rank < data.merges.size(); ++rank) last[data.merges[rank].result] = rank;
  TokenizerData scored{.tokens = data.tokens, .types = data.types};
  scored.scores.assign(data.tokens.size(), 0);
  std::vector<bool> made(data.tokens.size());
  float score = 0;
  for (std::size_t begin = 0, end = 0; begin < data.merges.size(); begin = end, --score) {
    end = begin + 1;
    for (std::size_t rank = begin; rank < end; ++rank) {
      end = std::max(end, last[data.merges[rank].result] + 1);
      scored.scores[data.merges[rank].result] = score;
      made[data.merges[rank].result] = true;
    }
    if (!MayShareAScore(data, index, begin, end))
      problem =
          fmt::format("merge {} and the next make tokens in turn; GGUF has one score for each token", begin);
  }
  for (std::size_t id = 0; id < made.size(); ++id)
    if (!made[id] && data.types[id] == TokenType::kNormal) scored.scores[id] = score--;
  std::vector<std::array<int, 3>> listed, implied;
  for (const Merge& merge : data.merges) listed.push_back({merge.left, merge.right, merge.result});
  for (const MergeTable::Rule& rule : MergesOfScores(scored, index).rules)
    implied.push_back({rule.left, rule.right, rule.result});
  std::sort(listed.begin(), listed.end());
  std::sort(implied.begin(), implied.end());
  if (problem.empty() && listed != implied)
    problem = "its merges are not all the ways to put its tokens together, as SentencePiece's are";
  return scored.scores;
}

bool IsPiece(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUserDefined || type == TokenType::kUnused;
}

ScoreMerges MergesOfScores(const TokenizerData& data, const TokenIndex& index) {
  ScoreMerges merges;
  const std::vector<std::uint32_t> ranks = RanksOf(data.scores);
  const auto piece_of = [&](std::string_view part) {
    const std::optional<int> id = index.Find(part);
    return id && IsPiece(data.types[*id]) ? *id : -1;
  };
  const auto is_character = [](std::string_view part) { return DecodeUtf8(part).length == part.size(); };
  const auto extra_symbol = [&](std::string_view character) {
    const int next = static_cast<int>(data.tokens.size() + merges.extra_symbols.size());
    return merges.extra_symbols.emplace(DecodeUtf8(character).code, next).first->second;
  };
  for (std::size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string_view token = data.tokens[id];
    if (token.empty() || !IsPiece(data.types[id]) || index.Find(token) != static_cast<int>(id) ||
        !IsUtf8(token))
      continue;
    for (std::size_t cut = DecodeUtf8(token).length; cut < token.size();
         cut += DecodeUtf8(token.substr(cut)).length) {
      const std::string_view first = token.substr(0, cut), second = token.substr(cut);
      int left = piece_of(first), right = piece_of(second);
      if ((left < 0 && !is_character(first)) || (right < 0 && !is_character(second))) continue;
      if (left < 0) left = extra_symbol(first);
      if (right < 0) right = extra_symbol(second);
      merges.rules.push_back({left, right, static_cast<int>(id), ranks[id]});
    }
  }
  return merges;
}

}  // namespace forge::text
