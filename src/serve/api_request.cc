// SPDX-License-Identifier: Apache-2.0
#include "serve/api_request.h"

#include <fmt/format.h>

#include <climits>

#include "serve/field_reader.h"

namespace forge::serve {
namespace {

using io::Json;

constexpr std::size_t kMostStops = 16, kLongestStop = 1000;
constexpr io::JsonLimits kBodyLimits = {.max_bytes = 256 << 20, .max_values = 2'000'000, .max_depth = 32};

void ReadStop(FieldReader& fields, std::vector<std::string>& stop) {
  const Json* found = fields.Find("stop");
  if (found == nullptr) return;
  const std::vector<Json> texts = found->is_array() ? found->get<std::vector<Json>>() : std::vector{*found};
  if (texts.size() > kMostStops)
    return fields.Problem("stop",
                          fmt::format("has {} texts; at most {} are possible", texts.size(), kMostStops));
  for (const Json& text : texts) {
    if (!text.is_string())
      return fields.Problem("stop", "must be a string or an array of strings, not of " + TypeWord(text));
    const auto& value = text.get_ref<const std::string&>();
    if (value.empty()) return fields.Problem("stop", "must not hold an empty string");
    if (value.size() > kLongestStop)
      return fields.Problem("stop", fmt::format("holds a text of {} bytes; at most {} are possible",
                                                value.size(), kLongestStop));
    stop.push_back(value);
  }
}

void ReadStream(FieldReader& fields, ApiRequest& request, FieldProblems& problems) {
  fields.Boolean("stream", request.stream);
  const Json* options = fields.Find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object())
    return fields.Problem("stream_options", "must be an object, not " + TypeWord(*options));
  if (!request.stream) return fields.Problem("stream_options", "is only possible with \"stream\": true");
  FieldReader inner(*options, "stream_options.", problems);
  inner.Boolean("include_usage", request.include_usage);
  inner.Neutral("include_obfuscation", {false});
  inner.RefuseTheRest();
}

std::optional<int> Narrow(const std::optional<std::int64_t>& value) {
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

/// What both kinds of requests have.
void ReadShared(FieldReader& fields, ApiRequest& request, FieldProblems& problems) {
  fields.Text("model", request.model);
  fields.Text("user", request.user);
  std::optional<std::int64_t> n, top_k, seed;
  fields.Integer("n", n, 1, kMostChoices);
  request.n = static_cast<int>(n.value_or(1));
  fields.Number("temperature", request.temperature, 0, 2);
  fields.Number("top_p", request.top_p, 0, 1);
  if (request.top_p == 0) request.top_p = 1e-9;  // OpenAI allows it: the most probable token alone
  fields.Integer("top_k", top_k, 0, INT_MAX);
  request.top_k = static_cast<int>(top_k.value_or(0));
  fields.Integer("seed", seed, INT64_MIN, INT64_MAX);
  if (seed) request.seed = static_cast<std::uint64_t>(*seed);
  ReadStop(fields, request.stop);
  ReadStream(fields, request, problems);
  fields.Neutral("presence_penalty", {0});
  fields.Neutral("frequency_penalty", {0});
  fields.Neutral("logit_bias", {Json::object()});
}

/// Adds one prompt given as ids, as far as they are ids.
bool ReadIds(const Json& ids, std::vector<Prompt>& prompts) {
  std::vector<int> tokens;
  for (const Json& id : ids) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT_MAX) return false;
    tokens.push_back(id.get<int>());
  }
  prompts.emplace_back(std::move(tokens));
  return true;
}

void ReadPrompts(FieldReader& fields, std::vector<Prompt>& prompts) {
  const Json* found = fields.Find("prompt");
  constexpr const char* kForms =
      "must be a string, an array of strings, an array of token ids, or an array of such arrays";
  if (found == nullptr) return fields.Problem("prompt", "is missing; it " + std::string(kForms));
  if (found->is_string()) return prompts.emplace_back(found->get<std::string>()), void();
  if (!found->is_array() || found->empty()) return fields.Problem("prompt", kForms);
  if (found->front().is_number()) {
    if (!ReadIds(*found, prompts)) fields.Problem("prompt", kForms);
    return;
  }
  if (found->size() > kMostChoices)
    return fields.Problem("prompt",
                          fmt::format("has {} texts; at most {} are possible", found->size(), kMostChoices));
  for (const Json& one : *found) {
    if (one.is_string())
      prompts.emplace_back(one.get<std::string>());
    else if (!one.is_array() || !ReadIds(one, prompts))
      return fields.Problem("prompt", kForms);
  }
}

/// The text of a message: a string, or parts of type text.
bool ReadContent(const Json& content, std::string& text) {
  if (content.is_string()) return text = content.get<std::string>(), true;
  if (!content.is_array()) return false;
  for (const Json& part : content) {
    if (!part.is_object() || part.value("type", Json()) != "text" || !part.value("text", Json()).is_string())
      return false;
    text += part["text"].get_ref<const std::string&>();
  }
  return true;
}

void ReadMessage(const Json& json, const std::string& prefix, std::vector<text::ChatMessage>& messages,
                 FieldProblems& problems) {
  FieldReader fields(json, prefix, problems);
  text::ChatMessage message;
  fields.Text("role", message.role);
  if (message.role == "developer") message.role = "system";  // OpenAI's new name for it
  if (message.role != "system" && message.role != "user" && message.role != "assistant")
    fields.Problem("role", "must be system, user or assistant");
  const Json* content = fields.Find("content");
  if (content == nullptr)
    fields.Problem("content", "is missing");
  else if (!ReadContent(*content, message.content))
    fields.Problem("content", "must be a string, or an array of parts of type text");
  for (const char* name : {"name", "refusal", "audio", "function_call"}) fields.Neutral(name, {});
  for (const char* name : {"tool_calls", "annotations"}) fields.Neutral(name, {Json::array()});
  fields.RefuseTheRest();
  messages.push_back(std::move(message));
}

void ReadMessages(FieldReader& fields, std::vector<text::ChatMessage>& messages, FieldProblems& problems) {
  const Json* found = fields.Find("messages");
  if (found == nullptr) return fields.Problem("messages", "is missing; it must be an array of messages");
  if (!found->is_array() || found->empty())
    return fields.Problem("messages", "must be an array of messages, not " +
                                          (found->is_array() ? "an empty one" : TypeWord(*found)));
  for (std::size_t i = 0; i < found->size(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    if ((*found)[i].is_object())
      ReadMessage((*found)[i], place + ".", messages, problems);
    else
      problems.Add(place, place + " must be an object, not " + TypeWord((*found)[i]));
  }
}

void ReadChatLogprobs(FieldReader& fields, ApiRequest& request) {
  bool wanted = false;
  std::optional<std::int64_t> top;
  fields.Boolean("logprobs", wanted);
  fields.Integer("top_logprobs", top, 0, kMostTopLogprobs);
  if (top && !wanted) return fields.Problem("top_logprobs", "is only possible with \"logprobs\": true");
  if (wanted) request.logprobs = static_cast<int>(top.value_or(0));
}

void ReadChatLength(FieldReader& fields, ApiRequest& request) {
  std::optional<std::int64_t> old_name, new_name;
  fields.Integer("max_tokens", old_name, 1, INT_MAX);
  fields.Integer("max_completion_tokens", new_name, 1, INT_MAX);
  if (old_name && new_name && *old_name != *new_name)
    fields.Problem("max_tokens", "and max_completion_tokens differ; give one of them");
  request.max_tokens = Narrow(new_name ? new_name : old_name);
}

/// Fields of OpenAI's chat API for what forge does not do.
void ReadNeutralChatFields(FieldReader& fields) {
  for (const char* name : {"tools", "functions"}) fields.Neutral(name, {Json::array()});
  fields.Neutral("tool_choice", {"none", "auto"});
  fields.Neutral("function_call", {"none", "auto"});
  fields.Neutral("parallel_tool_calls", {true, false});
  fields.Neutral("response_format", {Json::object({{"type", "text"}})});
  fields.Neutral("modalities", {Json::array({"text"})});
  fields.Neutral("store", {false});
  fields.Neutral("metadata", {Json::object()});
  fields.Neutral("service_tier", {"auto", "default"});
  for (const char* name : {"audio", "prediction", "reasoning_effort", "verbosity", "web_search_options"})
    fields.Neutral(name, {});
}

/// The body as an object, or why it is none.
std::optional<ApiError> ReadObject(std::string_view body, Json& object) {
  if (const auto problem = io::JsonProblem(body, kBodyLimits, object))
    return ApiError{.message = "the body is not valid JSON: " + *problem, .code = "invalid_json"};
  if (!object.is_object())
    return ApiError{.message = "the body must be a JSON object, not " + TypeWord(object),
                    .code = "invalid_json"};
  return std::nullopt;
}

}  // namespace

std::variant<ApiRequest, ApiError> ParseCompletionRequest(std::string_view body) {
  Json object;
  if (auto error = ReadObject(body, object)) return *error;
  FieldProblems problems;
  FieldReader fields(object, "", problems);
  ApiRequest request;
  ReadPrompts(fields, request.prompts);
  ReadShared(fields, request, problems);
  std::optional<std::int64_t> max_tokens, logprobs;
  fields.Integer("max_tokens", max_tokens, 0, INT_MAX);
  request.max_tokens = Narrow(max_tokens);
  fields.Integer("logprobs", logprobs, 0, kMostTopLogprobs);
  request.logprobs = Narrow(logprobs);
  fields.Boolean("echo", request.echo);
  fields.Neutral("suffix", {""});
  fields.Neutral("best_of", {request.n});
  fields.RefuseTheRest();
  if (request.prompts.size() * static_cast<std::size_t>(request.n) > kMostChoices)
    fields.Problem("n",
                   fmt::format("times the number of prompts is {}; at most {} texts are possible",
                               request.prompts.size() * static_cast<std::size_t>(request.n), kMostChoices));
  if (auto error = problems.Report()) return *error;
  return request;
}

std::variant<ApiRequest, ApiError> ParseChatRequest(std::string_view body) {
  Json object;
  if (auto error = ReadObject(body, object)) return *error;
  FieldProblems problems;
  FieldReader fields(object, "", problems);
  ApiRequest request;
  ReadMessages(fields, request.messages, problems);
  ReadShared(fields, request, problems);
  ReadChatLength(fields, request);
  ReadChatLogprobs(fields, request);
  fields.Boolean("truncate", request.truncate);
  ReadNeutralChatFields(fields);
  fields.RefuseTheRest();
  if (auto error = problems.Report()) return *error;
  return request;
}

}  // namespace forge::serve
