// SPDX-License-Identifier: Apache-2.0
#include "text/chat_format.h"

#include <algorithm>

#include "base/error.h"

namespace forge::text {

namespace {

// A code point that Unicode will never give a meaning. It is put behind the first byte of what looks like a
// control token in a message, so that the place is known again after the template has done its work.
constexpr std::string_view kMark = "\xEF\xB7\x90";  // U+FDD0

const std::string& TemplateOf(const Tokenizer& tokenizer, const std::string& model_name) {
  if (tokenizer.data().chat_template.empty())
    throw Error(
        {.what = "cannot chat with " + model_name,
         .why = "it has no chat template: it was not trained for conversations",
         .fix = "use a model with a template; forge chat --plain lets this one go on from each line"});
  return tokenizer.data().chat_template;
}

std::string TokenText(const Tokenizer& tokenizer, const std::optional<int>& id) {
  return id ? tokenizer.data().tokens[static_cast<std::size_t>(*id)] : std::string();
}

}  // namespace

ChatFormat::ChatFormat(const Tokenizer& tokenizer, const std::string& model_name)
    : tokenizer_(tokenizer), template_(TemplateOf(tokenizer, model_name)) {
  for (int id = 0; id < tokenizer.size(); ++id)
    if (tokenizer.IsControl(id)) control_tokens_.push_back(id);
  const auto length = [&](int id) { return tokenizer.data().tokens[static_cast<std::size_t>(id)].size(); };
  std::stable_sort(control_tokens_.begin(), control_tokens_.end(),
                   [&](int a, int b) { return length(a) > length(b); });
  end_of_turn_ = FindEndOfTurn();
}

int ChatFormat::ControlTokenAt(std::string_view text, std::size_t at) const {
  for (const int id : control_tokens_) {
    const std::string& token = tokenizer_.data().tokens[static_cast<std::size_t>(id)];
    if (!token.empty() && text.substr(at, token.size()) == token) return id;
  }
  return -1;
}

std::string ChatFormat::Render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const {
  io::OrderedJson list = io::OrderedJson::array();
  for (const ChatMessage& message : messages)
    list.push_back({{"role", message.role}, {"content", message.content}});
  const TokenizerData& data = tokenizer_.data();
  return template_.Render({{"messages", list},
                           {"tools", nullptr},
                           {"documents", nullptr},
                           {"add_generation_prompt", add_generation_prompt},
                           {"bos_token", TokenText(tokenizer_, data.bos)},
                           {"eos_token", TokenText(tokenizer_, data.eos)},
                           {"pad_token", TokenText(tokenizer_, data.pad)}});
}

std::string ChatFormat::Render(const std::vector<ChatMessage>& messages) const {
  return Render(messages, true);
}

std::vector<int> ChatFormat::Encode(const std::vector<ChatMessage>& messages) const {
  std::vector<ChatMessage> marked = messages;
  bool has_marks = false;
  for (ChatMessage& message : marked) {
    std::string content;
    for (std::size_t at = 0; at < message.content.size(); ++at) {
      content += message.content[at];
      if (ControlTokenAt(message.content, at) < 0) continue;
      content += kMark;
      has_marks = true;
    }
    message.content = std::move(content);
  }
  if (!has_marks) return tokenizer_.Encode(Render(messages), true);
  const std::string rendered = Render(marked);
  std::string text;  // since the last control token, without marks
  std::vector<int> ids;
  const auto flush = [&] {
    const std::vector<int> more = tokenizer_.Encode(text);
    ids.insert(ids.end(), more.begin(), more.end());
    text.clear();
  };
  for (std::size_t at = 0; at < rendered.size();) {
    if (std::string_view(rendered).substr(at, kMark.size()) == kMark) {
      at += kMark.size();
    } else if (const int id = ControlTokenAt(rendered, at); id >= 0) {
      flush();
      ids.push_back(id);
      at += tokenizer_.data().tokens[static_cast<std::size_t>(id)].size();
    } else {
      text += rendered[at++];
    }
  }
  flush();
  return ids;
}

int ChatFormat::FindEndOfTurn() const {
  const std::string answer = "<answer>";
  std::string text;
  try {
    text = Render({{"user", "question"}, {"assistant", answer}}, false);
  } catch (
      const Error&) {  // a template that asks for other roles or fields; the model's own end tokens are left
    return -1;
  }
  for (std::size_t at = text.rfind(answer); at < text.size(); ++at)
    if (const int id = ControlTokenAt(text, at); id >= 0) return id;
  return -1;
}

}  // namespace forge::text
