// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "text/chat_format.h"

namespace forge::serve {

struct ChatPrompt {
  std::vector<int> tokens;
  std::size_t dropped = 0;  // messages
};

/// The tokens of a conversation. With `most_tokens` > 0 and more of them, the oldest messages are dropped
/// until it fits: never a system message, never the last one, and an answer always with its question. If that
/// is not enough, the tokens are still too many. O(log messages) renderings. Throws Error(kInput) for a
/// conversation that the template refuses.
ChatPrompt MakeChatPrompt(const text::ChatFormat& format, const std::vector<text::ChatMessage>& messages,
                          std::size_t most_tokens);

}  // namespace forge::serve
