// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/serving_batch.h"
#include "serve/choice_text.h"

namespace forge::serve {

struct ReplyEvent {
  int choice = 0;
  TextPiece piece;
  std::string finish_reason;  // "stop" or "length" with the last piece of a choice
};

/// The way of one answer from the thread that runs the model to the one that talks to the client. The texts
/// are made on the first, so that a stop text ends its sequence at once.
class Reply : public std::enable_shared_from_this<Reply> {
 public:
  using Clock = std::chrono::steady_clock;

  struct ChoiceOptions {
    std::shared_ptr<const std::vector<int>> prompt;
    model::GenerateOptions generation;
    std::uint64_t seed = 0;
    std::vector<std::string> stops;
    std::optional<int> logprobs;
    bool scores_prompt = false;
    bool shares_prompt = false;
    std::string echo;  // text that comes first
  };

  /// Adds a text, before the first Take; the request that makes it. The tokenizer must outlive the reply.
  runtime::ServingRequest AddChoice(const text::Tokenizer& tokenizer, const ChoiceOptions& options);

  /// Waits for events and takes them all; none when the time is over. Rethrows what Fail was given.
  std::vector<ReplyEvent> Take(std::chrono::milliseconds wait);
  /// True once every choice has ended and all events are taken.
  bool finished() const;
  /// Ends it from outside: Take throws `error` once what came before is taken.
  void Fail(std::exception_ptr error);

  int completion_tokens() const;
  /// From the making of the reply to its first new token.
  std::optional<Clock::duration> time_to_first_token() const;

 private:
  struct Choice;
  void Post(ReplyEvent event);
  void CountToken();

  const Clock::time_point made_ = Clock::now();
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ReplyEvent> events_;
  std::exception_ptr error_;
  int choices_ = 0, ended_ = 0, completion_tokens_ = 0;
  std::optional<Clock::time_point> first_token_;
};

}  // namespace forge::serve
