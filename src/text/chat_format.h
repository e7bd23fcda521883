// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/template.h"
#include "text/tokenizer.h"

namespace forge::text {

struct ChatMessage {
  std::string role, content;
};

/// Conversations as the chat template of a model writes them.
class ChatFormat {
 public:
  /// Throws Error(kInput): that offers --plain for a model without a template, and naming line and construct
  /// for a template that forge cannot read.
  ChatFormat(const Tokenizer& tokenizer, const std::string& model_name);

  /// The text of all messages and the start of the assistant's turn, as transformers' apply_chat_template
  /// gives it. Throws Error(kInput) with the template's own message for a conversation that it does not
  /// allow.
  std::string Render(const std::vector<ChatMessage>& messages) const;
  /// Its tokens. What looks like a control token inside a message stays text (transformers would read it as
  /// the token, and a message could end its own turn).
  std::vector<int> Encode(const std::vector<ChatMessage>& messages) const;
  /// The control token that ends the assistant's turn in this template; -1 if there is none.
  int end_of_turn() const { return end_of_turn_; }

 private:
  std::string Render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;
  /// The control token that starts at text[at], the longest; -1 if there is none.
  int ControlTokenAt(std::string_view text, std::size_t at) const;
  int FindEndOfTurn() const;

  const Tokenizer& tokenizer_;
  jinja::Template template_;
  std::vector<int> control_tokens_;  // longest spelling first
  int end_of_turn_ = -1;
};

}  // namespace forge::text
