// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace forge::cli {

struct ChatMessage {
  std::string role, content;
};

/// Turns of a conversation as tokens, for models with ChatML templates:
///   <|im_start|>ROLE\nCONTENT<|im_end|>\n ... <|im_start|>assistant\n
/// Control tokens inside the content stay text. Other templates need a Jinja engine, which is not there yet.
class ChatMl {
 public:
  /// Throws Error(kInput) that offers --plain for a model without such a template.
  ChatMl(const text::Tokenizer& tokenizer, const std::string& model_name);

  /// What the template says first when a conversation has no system message; may be empty.
  const std::string& default_system() const { return default_system_; }
  int end_of_turn() const { return end_; }
  /// All messages and the start of the assistant's turn.
  std::vector<int> Encode(const std::vector<ChatMessage>& messages) const;

 private:
  const text::Tokenizer& tokenizer_;
  int start_ = 0, end_ = 0;
  std::string default_system_;
};

/// The default system message that a ChatML template in Jinja holds as a plain text; empty if there is none.
std::string FindDefaultSystem(std::string_view chat_template);

}  // namespace forge::cli
