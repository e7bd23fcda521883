// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.h"

#include <algorithm>

#include "text/normalizer.h"

namespace forge::text {
namespace {

using Tokens = std::vector<TokenMatcher::Token>;

/// The tokens that are looked for in the text itself, or in the normalized text.
Tokens TokensOf(const TokenizerData& data, bool normalized) {
  Tokens tokens;
  for (int id = 0; id < static_cast<int>(data.tokens.size()); ++id) {
    const TokenType type = data.types[id];
    if (!IsAdded(type)) continue;
    TokenMatcher::Token token{
        .text = data.tokens[id], .rule = RuleOf(data, id), .is_control = type != TokenType::kUserDefined};
    if (token.rule.normalized != normalized) continue;
    if (normalized) token.text = NormalizedForm(data, token.text);
    if (!token.text.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

std::string LongestWithoutSpaceSign(std::string_view text) {
  const std::string_view sign = kSpaceSign;
  std::string_view longest;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(sign, begin), text.size());
    if (end - begin > longest.size()) longest = text.substr(begin, end - begin);
    begin = end + sign.size();
  }
  return std::string(longest);
}

Tokens Cores(Tokens tokens) {
  for (TokenMatcher::Token& token : tokens) token.text = LongestWithoutSpaceSign(token.text);
  std::erase_if(tokens, [](const TokenMatcher::Token& token) { return token.text.empty(); });
  return tokens;
}

}  // namespace

std::string NormalizedForm(const TokenizerData& data, const std::string& token) {
  std::string buffer;
  std::string text(data.nfc ? NormalizeNfc(token, buffer) : token);
  if (data.spaces.stage == SpaceSpelling::Stage::kNormalizer && data.scores.empty())
    text = SpellSpaces(text, data.spaces.prefix != SpaceSpelling::Prefix::kNever);
  return text;
}

AddedTokens::AddedTokens(const TokenizerData& data)
    : raw_(TokensOf(data, false)), normalized_(TokensOf(data, true)), cores_(Cores(TokensOf(data, true))) {
  for (const TokenMatcher::Token& token : TokensOf(data, true))
    any_core_empty_ = any_core_empty_ || LongestWithoutSpaceSign(token.text).empty();
}

bool AddedTokens::MayHoldNormalized(std::string_view text, bool with_control) const {
  return any_core_empty_ || cores_.IsAnyIn(text, with_control);
}

}  // namespace forge::text
