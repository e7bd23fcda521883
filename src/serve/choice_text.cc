// SPDX-License-Identifier: Apache-2.0
#include "serve/choice_text.h"

#include <algorithm>

namespace forge::serve {

std::size_t CountCharacters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TextPiece ChoiceText::Add(const runtime::ScoredToken& token) {
  const std::string bytes =
      tokenizer_.IsControl(token.token) ? std::string() : tokenizer_.TokenBytes(token.token);
  waiting_.push_back({{token.token, token.log_prob, token.top, characters_}, bytes_, bytes.size()});
  bytes_ += bytes.size();
  characters_ += CountCharacters(bytes);
  TextPiece piece{.text = stream_.Add(bytes), .tokens = {}};
  Release(piece.tokens);
  return piece;
}

void ChoiceText::Release(std::vector<ShownToken>& tokens) {
  const std::size_t shown = stream_.shown_bytes();
  while (!waiting_.empty()) {
    const Waiting& next = waiting_.front();
    // One without text goes with the text before it; behind a stop text there is nothing.
    const bool is_shown =
        next.first_byte < shown || (next.bytes == 0 && next.first_byte == shown && !stream_.stopped());
    if (!is_shown) return;
    tokens.push_back(next.token);
    waiting_.pop_front();
  }
}

TextPiece ChoiceText::Finish() {
  TextPiece piece{.text = stream_.Finish(), .tokens = {}};
  Release(piece.tokens);
  waiting_.clear();
  return piece;
}

PromptTokens::PromptTokens(const text::Tokenizer& tokenizer, int first)
    : tokenizer_(tokenizer), first_(first) {}

std::size_t PromptTokens::Characters(int token) const {
  return tokenizer_.IsControl(token) ? 0 : CountCharacters(tokenizer_.TokenBytes(token));
}

std::vector<ShownToken> PromptTokens::Begin() {
  characters_ = Characters(first_);
  return {{first_, std::nullopt, {}, 0}};
}

std::vector<ShownToken> PromptTokens::Add(std::span<const runtime::ScoredToken> tokens) {
  std::vector<ShownToken> shown;
  for (const runtime::ScoredToken& token : tokens) {
    shown.push_back({token.token, token.log_prob, token.top, characters_});
    characters_ += Characters(token.token);
  }
  return shown;
}

}  // namespace forge::serve
