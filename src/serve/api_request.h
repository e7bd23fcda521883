// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/api_error.h"
#include "text/chat_format.h"

namespace forge::serve {

/// Texts that one request may ask for: its prompts times n.
inline constexpr int kMostChoices = 128;
/// Most probable tokens that may be asked for with each.
inline constexpr int kMostTopLogprobs = 20;

/// A text to go on from, or its token ids.
using Prompt = std::variant<std::string, std::vector<int>>;

/// The body of POST /v1/completions or /v1/chat/completions, read and checked as far as that goes without the
/// model.
struct ApiRequest {
  std::string model;                        // empty: the one that is served
  std::string user;                         // whose turn it is in the queue; empty: by address
  std::vector<Prompt> prompts;              // completions
  std::vector<text::ChatMessage> messages;  // chat
  int n = 1;
  std::optional<int> max_tokens;
  double temperature = 1, top_p = 1;
  int top_k = 0;                      // not OpenAI's; 0: all
  std::optional<std::uint64_t> seed;  // none: another one each time
  std::vector<std::string> stop;
  bool stream = false, include_usage = false;
  bool echo = false;            // completions: the prompt comes first in the text
  std::optional<int> logprobs;  // most probable tokens to show with each; none: no logprobs at all
  bool truncate = false;        // chat, not OpenAI's: too long a conversation loses its oldest messages
};

/// Reads a request. An ApiError names every field that is unknown, of the wrong type or out of range. Fields
/// of OpenAI's that forge does not have are refused, unless their value changes nothing.
std::variant<ApiRequest, ApiError> ParseCompletionRequest(std::string_view body);
std::variant<ApiRequest, ApiError> ParseChatRequest(std::string_view body);

}  // namespace forge::serve
