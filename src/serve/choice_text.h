// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "runtime/serving_batch.h"
#include "text/text_stream.h"
#include "text/tokenizer.h"

namespace forge::serve {

/// A token as logprobs show it.
struct ShownToken {
  int token;
  std::optional<float> log_prob;  // none: the first token of a prompt
  std::vector<runtime::TokenProbability> top;
  std::size_t text_offset;  // characters of the text before it
};

/// A piece of one text that can be sent: characters are whole, and nothing of it belongs to a stop text. A
/// token comes with the first piece that shows some of it, so the pieces of tokens and of text may be cut at
/// different places.
struct TextPiece {
  std::string text;
  std::vector<ShownToken> tokens;
};

/// Turns the tokens of one sequence into text. Control tokens add nothing to the text.
class ChoiceText {
 public:
  /// `first_offset`: characters of the text that come before (an echoed prompt).
  ChoiceText(const text::Tokenizer& tokenizer, std::vector<std::string> stops, std::size_t first_offset)
      : tokenizer_(tokenizer), stream_(std::move(stops)), characters_(first_offset) {}

  TextPiece Add(const runtime::ScoredToken& token);
  /// What is left at the end. Tokens from the stop text on are left out.
  TextPiece Finish();
  bool stopped() const { return stream_.stopped(); }

 private:
  struct Waiting {
    ShownToken token;
    std::size_t first_byte, bytes;  // of its text
  };
  void Release(std::vector<ShownToken>& tokens);

  const text::Tokenizer& tokenizer_;
  text::TextStream stream_;
  std::size_t characters_, bytes_ = 0;
  std::deque<Waiting> waiting_;
};

/// The prompt's tokens: the first, which has no probability, and those that were scored.
class PromptTokens {
 public:
  PromptTokens(const text::Tokenizer& tokenizer, int first);
  /// The first token, once.
  std::vector<ShownToken> Begin();
  std::vector<ShownToken> Add(std::span<const runtime::ScoredToken> tokens);

 private:
  std::size_t Characters(int token) const;

  const text::Tokenizer& tokenizer_;
  int first_;
  std::size_t characters_ = 0;
};

/// Characters of UTF-8 text: bytes that do not continue one.
std::size_t CountCharacters(std::string_view text);

}  // namespace forge::serve
