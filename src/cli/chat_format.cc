// SPDX-License-Identifier: Apache-2.0
#include "cli/chat_format.h"

#include "base/error.h"

namespace forge::cli {
namespace {

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";

}  // namespace

std::string FindDefaultSystem(std::string_view chat_template) {
  const std::string lead = std::string(kStart) + "system";
  for (std::size_t at = 0; (at = chat_template.find(lead, at)) != std::string_view::npos;) {
    at += lead.size();
    std::string_view rest = chat_template.substr(at);
    if (rest.starts_with("\n"))
      rest.remove_prefix(1);
    else if (rest.starts_with("\\n"))
      rest.remove_prefix(2);
    else
      continue;
    const std::string_view text = rest.substr(0, rest.find(kEnd));
    if (text.size() < rest.size() && text.find_first_of("'\"{}\\") == std::string_view::npos)
      return std::string(text);
  }
  return "";
}

ChatMl::ChatMl(const text::Tokenizer& tokenizer, const std::string& model_name) : tokenizer_(tokenizer) {
  const std::optional<int> start = tokenizer.IdOf(kStart), end = tokenizer.IdOf(kEnd);
  const std::string& chat_template = tokenizer.data().chat_template;
  const bool is_chat_ml =
      start && end && (chat_template.empty() || chat_template.find(kStart) != std::string::npos);
  if (!is_chat_ml)
    throw Error({.what = "cannot chat with " + model_name,
                 .why = chat_template.empty() ? "it has no chat template and its tokenizer has no "
                                                "<|im_start|>: it was not trained for conversations"
                                              : "its chat template is not of the ChatML kind (<|im_start|>), "
                                                "the only one that this release builds",
                 .fix = "give --plain: each line you type is then a text that the model goes on from"});
  start_ = *start;
  end_ = *end;
  default_system_ = FindDefaultSystem(chat_template);
}

std::vector<int> ChatMl::Encode(const std::vector<ChatMessage>& messages) const {
  std::vector<int> ids;
  const auto add = [&](std::string_view text) {
    const std::vector<int> more = tokenizer_.Encode(text);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  for (const ChatMessage& message : messages) {
    ids.push_back(start_);
    add(message.role + "\n" + message.content);
    ids.push_back(end_);
    add("\n");
  }
  ids.push_back(start_);
  add("assistant\n");
  return ids;
}

}  // namespace forge::cli
