// SPDX-License-Identifier: Apache-2.0
#include "serve/reply.h"

namespace forge::serve {

/// What the functions of one sequence share; only the model's thread uses it.
struct Reply::Choice {
  int index;
  bool shows_tokens;
  ChoiceText text;
  std::optional<PromptTokens> prompt;
};

runtime::ServingRequest Reply::AddChoice(const text::Tokenizer& tokenizer, const ChoiceOptions& options) {
  const bool scores = options.scores_prompt;
  const auto choice = std::make_shared<Choice>(Choice{
      .index = choices_++,
      .shows_tokens = options.logprobs.has_value(),
      .text = ChoiceText(tokenizer, options.stops, CountCharacters(options.echo)),
      .prompt = scores ? std::optional(PromptTokens(tokenizer, options.prompt->front())) : std::nullopt});
  if (!options.echo.empty() || scores)
    Post({.choice = choice->index,
          .piece = {.text = options.echo,
                    .tokens = scores ? choice->prompt->Begin() : std::vector<ShownToken>{}},
          .finish_reason = ""});
  runtime::ServingRequest request{.prompt = options.prompt,
                                  .shares_prompt = options.shares_prompt,
                                  .options = options.generation,
                                  .seed = options.seed,
                                  .top = options.logprobs.value_or(0),
                                  .on_prompt = {},
                                  .on_token = {},
                                  .on_end = {}};
  request.options.log_probs = options.logprobs.has_value();
  // The reply goes on living until its sequences have ended or left.
  const std::shared_ptr<Reply> self = shared_from_this();
  if (scores)
    request.on_prompt = [self, choice](std::span<const runtime::ScoredToken> tokens) {
      self->Post({.choice = choice->index,
                  .piece = {.text = "", .tokens = choice->prompt->Add(tokens)},
                  .finish_reason = ""});
    };
  request.on_token = [self, choice](const runtime::ScoredToken& token) {
    self->CountToken();
    TextPiece piece = choice->text.Add(token);
    if (!choice->shows_tokens) piece.tokens.clear();
    if (!piece.text.empty() || !piece.tokens.empty())
      self->Post({.choice = choice->index, .piece = std::move(piece), .finish_reason = ""});
    return !choice->text.stopped();
  };
  request.on_end = [self, choice](runtime::SequenceEnd end) {
    TextPiece piece = choice->text.Finish();
    if (!choice->shows_tokens) piece.tokens.clear();
    self->Post({.choice = choice->index,
                .piece = std::move(piece),
                .finish_reason = end == runtime::SequenceEnd::kLimit ? "length" : "stop"});
  };
  return request;
}

void Reply::Post(ReplyEvent event) {
  const std::lock_guard lock(mutex_);
  if (!event.finish_reason.empty()) ++ended_;
  events_.push_back(std::move(event));
  changed_.notify_one();
}

void Reply::CountToken() {
  const std::lock_guard lock(mutex_);
  ++completion_tokens_;
  if (!first_token_) first_token_ = Clock::now();
}

std::vector<ReplyEvent> Reply::Take(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, wait, [this] { return !events_.empty() || error_; });
  if (events_.empty() && error_) std::rethrow_exception(error_);
  return std::move(events_);
}

bool Reply::finished() const {
  const std::lock_guard lock(mutex_);
  return events_.empty() && ended_ == choices_;
}

void Reply::Fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (ended_ == choices_ || error_) return;
  error_ = std::move(error);
  changed_.notify_one();
}

int Reply::completion_tokens() const {
  const std::lock_guard lock(mutex_);
  return completion_tokens_;
}

std::optional<Reply::Clock::duration> Reply::time_to_first_token() const {
  const std::lock_guard lock(mutex_);
  return first_token_ ? std::optional(*first_token_ - made_) : std::nullopt;
}

}  // namespace forge::serve
