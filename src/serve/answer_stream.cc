// SPDX-License-Identifier: Apache-2.0
#include "serve/answer_stream.h"

#include <new>

#include "base/error.h"

namespace forge::serve {

std::string AnswerStream::Next(std::chrono::milliseconds wait) {
  std::string text;
  if (!opened_ && is_chat_)
    for (int i = 0; i < choices_; ++i) text += ServerSentEvent(writer_.Opening(i));
  opened_ = true;
  try {
    for (const ReplyEvent& event : reply_->Take(text.empty() ? wait : std::chrono::milliseconds(0)))
      text += ServerSentEvent(writer_.Chunk(event));
  } catch (const std::exception&) {
    ended_ = true;
    return text + ServerSentEvent(ToJson(ToApiError(std::current_exception()))) + kStreamEnd;
  }
  if (reply_->finished()) {
    ended_ = true;
    if (prompt_tokens_)
      text += ServerSentEvent(writer_.UsageChunk({*prompt_tokens_, reply_->completion_tokens()}));
    text += kStreamEnd;
  }
  const auto now = Reply::Clock::now();
  if (text.empty() && now - last_ >= kHeartbeat) text = ": still there\n\n";
  if (!text.empty()) last_ = now;
  return text;
}

ApiError ToApiError(const std::exception_ptr& trouble) {
  ApiError answer{.status = 500, .type = "server_error"};
  try {
    std::rethrow_exception(trouble);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInterrupted)
      answer = {.status = 503, .type = "server_error", .code = "server_stopping"};
    answer.message = error.fields().what + ": " + error.fields().why;
  } catch (const std::bad_alloc&) {
    answer.message = "the server has no memory left for this request; ask for fewer tokens";
    answer.code = "out_of_memory";
  } catch (const std::exception& error) {
    answer.message = std::string("something in the server went wrong: ") + error.what();
  }
  return answer;
}

}  // namespace forge::serve
