// SPDX-License-Identifier: Apache-2.0
#include "serve/chat_prompt.h"

namespace forge::serve {
namespace {

bool IsTurn(const text::ChatMessage& message) { return message.role != "system"; }

/// Numbers of turns (messages but system ones) that may be dropped from the front, ascending: what is left
/// begins with no answer, and the last message is always left.
std::vector<std::size_t> PlacesToCut(const std::vector<text::ChatMessage>& messages) {
  std::vector<std::size_t> places;
  std::size_t turns = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!IsTurn(messages[i])) continue;
    const bool is_last = i + 1 == messages.size();
    if (turns > 0 && (messages[i].role != "assistant" || is_last)) places.push_back(turns);
    ++turns;
  }
  return places;
}

std::vector<text::ChatMessage> WithoutTurns(const std::vector<text::ChatMessage>& messages,
                                            std::size_t dropped) {
  std::vector<text::ChatMessage> left;
  for (const text::ChatMessage& message : messages)
    if (IsTurn(message) && dropped > 0)
      --dropped;
    else
      left.push_back(message);
  return left;
}

}  // namespace

ChatPrompt MakeChatPrompt(const text::ChatFormat& format, const std::vector<text::ChatMessage>& messages,
                          std::size_t most_tokens) {
  ChatPrompt prompt{.tokens = format.Encode(messages)};
  if (most_tokens == 0 || prompt.tokens.size() <= most_tokens) return prompt;
  // The fewest turns, by bisection: a conversation may have very many.
  const std::vector<std::size_t> places = PlacesToCut(messages);
  std::size_t low = 0, high = places.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    std::vector<int> tokens = format.Encode(WithoutTurns(messages, places[middle]));
    const bool fits = tokens.size() <= most_tokens;
    if (fits || middle + 1 == places.size()) prompt = {std::move(tokens), places[middle]};
    if (fits)
      high = middle;
    else
      low = middle + 1;
  }
  return prompt;
}

}  // namespace forge::serve
