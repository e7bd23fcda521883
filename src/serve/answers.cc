// SPDX-License-Identifier: Apache-2.0
#include "serve/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "text/utf8.h"

namespace forge::serve {
namespace {

using io::Json;

std::string NewId(bool is_chat) {
  std::random_device device;
  return fmt::format("{}-{:08x}{:08x}{:08x}", is_chat ? "chatcmpl" : "cmpl", device(), device(), device());
}

double ShownLogProb(float log_prob) {
  constexpr double kLowest = -9999;  // OpenAI's; JSON has no minus infinity
  return std::max(static_cast<double>(log_prob), kLowest);
}

}  // namespace

std::string DumpJson(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string ServerSentEvent(const Json& data) { return "data: " + DumpJson(data) + "\n\n"; }

AnswerWriter::AnswerWriter(const text::Tokenizer& tokenizer, std::string model, const Options& options)
    : tokenizer_(tokenizer),
      model_(std::move(model)),
      options_(options),
      id_(NewId(options.is_chat)),
      created_(static_cast<std::int64_t>(std::time(nullptr))) {}

Json AnswerWriter::Head(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

std::string AnswerWriter::Label(int token) const {
  if (tokenizer_.IsControl(token)) return tokenizer_.data().tokens[static_cast<std::size_t>(token)];
  return tokenizer_.TokenBytes(token);
}

Json AnswerWriter::ChatToken(int token, float log_prob) const {
  const std::string label = Label(token);
  Json bytes = Json::array();
  for (const char byte : label) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", label}, {"logprob", ShownLogProb(log_prob)}, {"bytes", bytes}};
}

Json AnswerWriter::ChatLogprobs(const std::vector<ShownToken>& tokens) const {
  Json content = Json::array();
  for (const ShownToken& token : tokens) {
    Json entry = ChatToken(token.token, token.log_prob.value_or(0));
    entry["top_logprobs"] = Json::array();
    for (const auto& [id, log_prob] : token.top) entry["top_logprobs"].push_back(ChatToken(id, log_prob));
    content.push_back(std::move(entry));
  }
  return {{"content", content}, {"refusal", nullptr}};
}

Json AnswerWriter::LegacyLogprobs(const std::vector<ShownToken>& tokens) const {
  // Bytes that are no text would all look the same as keys of top_logprobs; OpenAI writes them so, too.
  const auto label = [&](int token) {
    const std::string text = Label(token);
    if (text::IsUtf8(text)) return text;
    std::string bytes = "bytes:";
    for (const char byte : text) bytes += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    return bytes;
  };
  Json result = {{"tokens", Json::array()},
                 {"token_logprobs", Json::array()},
                 {"top_logprobs", Json::array()},
                 {"text_offset", Json::array()}};
  for (const ShownToken& token : tokens) {
    result["tokens"].push_back(label(token.token));
    result["text_offset"].push_back(token.text_offset);
    if (!token.log_prob) {
      result["token_logprobs"].push_back(nullptr);
      result["top_logprobs"].push_back(nullptr);
      continue;
    }
    const double log_prob = ShownLogProb(*token.log_prob);
    Json top = Json::object();
    for (const auto& [id, other] : token.top) top.emplace(label(id), ShownLogProb(other));
    top.emplace(label(token.token), log_prob);  // the token itself is always among them
    result["token_logprobs"].push_back(log_prob);
    result["top_logprobs"].push_back(std::move(top));
  }
  return result;
}

Json AnswerWriter::Logprobs(const std::vector<ShownToken>& tokens) const {
  if (!options_.has_logprobs) return nullptr;
  return options_.is_chat ? ChatLogprobs(tokens) : LegacyLogprobs(tokens);
}

Json AnswerWriter::Whole(const std::vector<ReplyEvent>& events, int choices, const Usage& usage) const {
  std::vector<ReplyEvent> whole(static_cast<std::size_t>(choices));
  for (const ReplyEvent& event : events) {
    ReplyEvent& choice = whole[static_cast<std::size_t>(event.choice)];
    choice.piece.text += event.piece.text;
    choice.piece.tokens.insert(choice.piece.tokens.end(), event.piece.tokens.begin(),
                               event.piece.tokens.end());
    if (!event.finish_reason.empty()) choice.finish_reason = event.finish_reason;
  }
  Json answer = Head(options_.is_chat ? "chat.completion" : "text_completion");
  answer["choices"] = Json::array();
  for (int i = 0; i < choices; ++i) {
    const ReplyEvent& choice = whole[static_cast<std::size_t>(i)];
    Json entry = {
        {"index", i}, {"finish_reason", choice.finish_reason}, {"logprobs", Logprobs(choice.piece.tokens)}};
    if (options_.is_chat)
      entry["message"] = {{"role", "assistant"}, {"content", choice.piece.text}, {"refusal", nullptr}};
    else
      entry["text"] = choice.piece.text;
    answer["choices"].push_back(std::move(entry));
  }
  answer["usage"] = UsageChunk(usage)["usage"];
  return answer;
}

Json AnswerWriter::StreamHead(Json choices) const {
  Json chunk = Head(options_.is_chat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = std::move(choices);
  if (options_.has_usage_chunk) chunk["usage"] = nullptr;
  return chunk;
}

Json AnswerWriter::Opening(int choice) const {
  return StreamHead(Json::array({{{"index", choice},
                                  {"delta", {{"role", "assistant"}, {"content", ""}}},
                                  {"logprobs", nullptr},
                                  {"finish_reason", nullptr}}}));
}

Json AnswerWriter::Chunk(const ReplyEvent& event) const {
  Json entry = {{"index", event.choice},
                {"finish_reason", event.finish_reason.empty() ? Json() : Json(event.finish_reason)},
                {"logprobs", event.piece.tokens.empty() ? Json() : Logprobs(event.piece.tokens)}};
  if (!options_.is_chat)
    entry["text"] = event.piece.text;
  else if (event.piece.text.empty())
    entry["delta"] = Json::object();
  else
    entry["delta"] = {{"content", event.piece.text}};
  return StreamHead(Json::array({std::move(entry)}));
}

Json AnswerWriter::UsageChunk(const Usage& usage) const {
  Json chunk = StreamHead(Json::array());
  chunk["usage"] = {{"prompt_tokens", usage.prompt_tokens},
                    {"completion_tokens", usage.completion_tokens},
                    {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
  return chunk;
}

}  // namespace forge::serve
