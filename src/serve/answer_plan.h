// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "serve/api_request.h"
#include "serve/reply.h"
#include "serve/served_model.h"

namespace forge::serve {

struct PlanLimits {
  int max_tokens = 4096;           // that one text may ask for
  int default_chat_tokens = 1024;  // for a chat that does not say; /v1/completions has OpenAI's 16
  bool truncate = false;           // as if every chat had "truncate": true
  /// Whether there is room for a sequence at all.
  std::function<bool(const runtime::ServingRequest&)> could_run;
};

/// What is to be done for one request.
struct AnswerPlan {
  std::shared_ptr<Reply> reply;
  std::vector<runtime::ServingRequest> sequences;  // they tell the reply; prompts one after the other, n each
  int prompt_tokens = 0;                           // of all prompts
  std::size_t dropped_messages = 0;                // of a chat that was too long
};

/// Turns a request into sequences. An ApiError if the model cannot do it: another model's name, a prompt that
/// is empty, has foreign ids or is longer than the context, more tokens than the limit or the memory allow, a
/// chat without a template, or with messages that the template refuses.
/// Choice i of a prompt samples with seed + i.
std::variant<AnswerPlan, ApiError> PlanAnswer(const ServedModel& model, const PlanLimits& limits,
                                              const ApiRequest& request, bool is_chat);

}  // namespace forge::serve
