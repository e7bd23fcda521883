// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "serve/answers.h"
#include "serve/api_error.h"
#include "serve/reply.h"

namespace forge::serve {

/// The server-sent events of one answer: pieces of all its texts as they come, then the usage if it was asked
/// for, then [DONE].
class AnswerStream {
 public:
  static constexpr std::chrono::seconds kHeartbeat{15};

  AnswerStream(std::shared_ptr<Reply> reply, AnswerWriter writer, bool is_chat, int choices,
               std::optional<int> prompt_tokens_for_usage)
      : reply_(std::move(reply)),
        writer_(std::move(writer)),
        is_chat_(is_chat),
        choices_(choices),
        prompt_tokens_(prompt_tokens_for_usage) {}

  /// The next events, "" if there are none yet after `wait`; a comment after 15 s without any, so that
  /// middlemen keep the connection. Trouble with the model becomes an event with an error, and ends it.
  std::string Next(std::chrono::milliseconds wait);
  bool ended() const { return ended_; }

 private:
  const std::shared_ptr<Reply> reply_;
  const AnswerWriter writer_;
  const bool is_chat_;
  const int choices_;
  const std::optional<int> prompt_tokens_;
  bool opened_ = false, ended_ = false;
  Reply::Clock::time_point last_ = Reply::Clock::now();
};

/// What the API says of trouble while an answer is made.
ApiError ToApiError(const std::exception_ptr& trouble);

}  // namespace forge::serve
