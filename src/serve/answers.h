// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json_file.h"
#include "serve/choice_text.h"
#include "serve/reply.h"

namespace forge::serve {

struct Usage {
  int prompt_tokens = 0, completion_tokens = 0;
};

/// Builds the answers of one request in OpenAI's form: whole, or as chunks of a stream.
class AnswerWriter {
 public:
  struct Options {
    bool is_chat = false;
    bool has_logprobs = false;
    bool has_usage_chunk = false;  // stream_options.include_usage
  };
  /// With a random id. The tokenizer must outlive it.
  AnswerWriter(const text::Tokenizer& tokenizer, std::string model, const Options& options);

  /// The whole answer; all events of a reply, in any order of choices.
  io::Json Whole(const std::vector<ReplyEvent>& events, int choices, const Usage& usage) const;

  /// Chunks of a stream: the first of a choice in chat, which says who speaks; one event; the usage at the
  /// end.
  io::Json Opening(int choice) const;
  io::Json Chunk(const ReplyEvent& event) const;
  io::Json UsageChunk(const Usage& usage) const;

 private:
  io::Json Head(const char* object) const;
  io::Json StreamHead(io::Json choices) const;
  /// `tokens` in the form of the endpoint, or null.
  io::Json Logprobs(const std::vector<ShownToken>& tokens) const;
  io::Json ChatLogprobs(const std::vector<ShownToken>& tokens) const;
  io::Json LegacyLogprobs(const std::vector<ShownToken>& tokens) const;
  io::Json ChatToken(int token, float log_prob) const;
  std::string Label(int token) const;

  const text::Tokenizer& tokenizer_;
  const std::string model_;
  const Options options_;
  const std::string id_;
  const std::int64_t created_;
};

/// One event of a text/event-stream: "data: ...\n\n".
std::string ServerSentEvent(const io::Json& data);
inline constexpr char kStreamEnd[] = "data: [DONE]\n\n";

/// On one line; what is no UTF-8 becomes U+FFFD.
std::string DumpJson(const io::Json& json);

}  // namespace forge::serve
