// SPDX-License-Identifier: Apache-2.0
#include "serve/answer_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "base/error.h"
#include "serve/chat_prompt.h"

namespace forge::serve {
namespace {

constexpr int kDefaultCompletionTokens = 16;  // OpenAI's
constexpr int kFewestChatTokens = 16;         // that a chat which does not say gets at least

struct TokenPrompt {
  std::shared_ptr<const std::vector<int>> tokens;
  std::string echo;
};

std::uint64_t RandomSeed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

std::optional<ApiError> LengthProblem(const ServedModel& model, std::size_t tokens, const char* param,
                                      const char* advice) {
  if (tokens <= static_cast<std::size_t>(model.context())) return std::nullopt;
  return ApiError{.message = fmt::format("the prompt has {} tokens, the context of {} holds {}; {}", tokens,
                                         model.name, model.context(), advice),
                  .param = param,
                  .code = "context_length_exceeded"};
}

std::variant<TokenPrompt, ApiError> EncodePrompt(const ServedModel& model, const Prompt& prompt, bool echo) {
  TokenPrompt result;
  std::vector<int> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    tokens = model.encode(*text);
    if (echo) result.echo = *text;
  } else {
    tokens = std::get<std::vector<int>>(prompt);
    const int vocabulary = model.transformer.config().vocab_size;
    for (const int token : tokens)
      if (token >= vocabulary)
        return ApiError{.message = fmt::format("prompt holds the token id {}; {} knows 0 to {}", token,
                                               model.name, vocabulary - 1),
                        .param = "prompt"};
    if (echo) result.echo = model.tokenizer.Decode(tokens, /*skip_special=*/true);
  }
  if (tokens.empty())
    return ApiError{.message = "prompt is empty; the model needs at least one token to go on from",
                    .param = "prompt"};
  if (auto problem = LengthProblem(model, tokens.size(), "prompt", "shorten it")) return *problem;
  result.tokens = std::make_shared<const std::vector<int>>(std::move(tokens));
  return result;
}

std::variant<TokenPrompt, ApiError> EncodeChat(const ServedModel& model, const ApiRequest& request,
                                               bool truncate, int limit, std::size_t& dropped) {
  if (model.chat == nullptr)
    return ApiError{.message = model.name + " has no chat template: it was not trained for conversations; " +
                               "use /v1/completions",
                    .param = "messages",
                    .code = "no_chat_template"};
  const int room = std::min(limit, model.context() / 4);  // kept for the answer
  ChatPrompt prompt;
  try {
    prompt = MakeChatPrompt(*model.chat, request.messages,
                            truncate ? static_cast<std::size_t>(std::max(1, model.context() - room)) : 0);
  } catch (const Error& error) {
    return ApiError{.message = "the chat template refuses these messages: " + error.fields().why,
                    .param = "messages"};
  }
  const char* advice = truncate ? "the last message alone is too long"
                                : "shorten it, or let the oldest messages go with \"truncate\": true";
  if (auto problem = LengthProblem(model, prompt.tokens.size(), "messages", advice)) return *problem;
  if (prompt.tokens.empty())
    return ApiError{.message = "the chat template makes no text of these messages", .param = "messages"};
  dropped = prompt.dropped;
  return TokenPrompt{std::make_shared<const std::vector<int>>(std::move(prompt.tokens)), ""};
}

/// The end tokens, and those that the stop texts spell.
std::vector<int> StopTokens(const ServedModel& model, const ApiRequest& request) {
  std::vector<int> stops = model.stop_token_ids;
  for (const std::string& text : request.stop)
    if (const auto id = model.tokenizer.IdOf(text); id && model.tokenizer.IsControl(*id))
      stops.push_back(*id);
  return stops;
}

/// Adds the n sequences of one prompt.
std::optional<ApiError> AddSequences(const ServedModel& model, const PlanLimits& limits,
                                     const ApiRequest& request, const TokenPrompt& prompt,
                                     Reply::ChoiceOptions options, bool may_be_shorter, AnswerPlan& plan) {
  options.prompt = prompt.tokens;
  options.echo = prompt.echo;
  int& length = options.generation.max_new_tokens;
  runtime::ServingRequest probe{
      .prompt = prompt.tokens, .options = options.generation, .on_prompt = {}, .on_token = {}, .on_end = {}};
  while (!limits.could_run(probe) && may_be_shorter && length > kFewestChatTokens)
    probe.options.max_new_tokens = length = std::max(kFewestChatTokens, length / 2);
  if (!limits.could_run(probe))
    return ApiError{.message = fmt::format("a prompt of {} tokens and {} new ones need more memory for keys "
                                           "and values than the server may take; ask for fewer tokens, or "
                                           "start it with a larger --kv-cache-mb",
                                           prompt.tokens->size(), length),
                    .param = "max_tokens"};
  const std::uint64_t seed = options.seed;
  for (int i = 0; i < request.n; ++i) {
    options.seed = seed + static_cast<std::uint64_t>(i);
    plan.sequences.push_back(plan.reply->AddChoice(model.tokenizer, options));
  }
  plan.prompt_tokens += static_cast<int>(prompt.tokens->size());
  return std::nullopt;
}

}  // namespace

std::variant<AnswerPlan, ApiError> PlanAnswer(const ServedModel& model, const PlanLimits& limits,
                                              const ApiRequest& request, bool is_chat) {
  if (!request.model.empty() && request.model != model.name)
    return ApiError{.message = fmt::format("model \"{}\" is not served here; \"{}\" is",
                                           request.model.substr(0, 200), model.name),
                    .param = "model",
                    .code = "model_not_found"};
  if (request.max_tokens > limits.max_tokens)
    return ApiError{.message = fmt::format(
                        "max_tokens is {}; this server allows {} (--max-tokens, or the model's context)",
                        *request.max_tokens, limits.max_tokens),
                    .param = "max_tokens"};
  const int length = request.max_tokens.value_or(
      std::min(limits.max_tokens, is_chat ? limits.default_chat_tokens : kDefaultCompletionTokens));
  AnswerPlan plan{.reply = std::make_shared<Reply>(), .sequences = {}};
  Reply::ChoiceOptions options{.prompt = {},
                               .generation = {.max_new_tokens = length,
                                              .temperature = request.temperature,
                                              .top_p = request.top_p,
                                              .top_k = request.top_k,
                                              .stop_token_ids = StopTokens(model, request),
                                              .banned_token_ids = {},
                                              .on_token = {}},
                               .seed = request.seed ? *request.seed : RandomSeed(),
                               .stops = request.stop,
                               .logprobs = request.logprobs,
                               .scores_prompt = request.echo && request.logprobs,
                               .shares_prompt = request.n > 1,
                               .echo = {}};
  std::vector<std::variant<TokenPrompt, ApiError>> prompts;
  if (is_chat)
    prompts.push_back(
        EncodeChat(model, request, request.truncate || limits.truncate, length, plan.dropped_messages));
  for (const Prompt& prompt : request.prompts) prompts.push_back(EncodePrompt(model, prompt, request.echo));
  for (const auto& prompt : prompts) {
    if (const auto* error = std::get_if<ApiError>(&prompt)) return *error;
    if (auto error = AddSequences(model, limits, request, std::get<TokenPrompt>(prompt), options,
                                  is_chat && !request.max_tokens, plan))
      return *error;
  }
  return plan;
}

}  // namespace forge::serve
