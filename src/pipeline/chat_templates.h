// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/merge_tokenizers.h"
#include "text/tokenizer_data.h"

namespace forge::pipeline {

/// A way of writing conversations that a config may ask for by name.
struct BuiltInTemplate {
  std::string name;
  std::string text;                  // Jinja
  std::vector<std::string> markers;  // what it writes between turns and expects to be one token each
  std::string end_of_turn;           // the marker that ends an answer; empty: eos does
};

/// chatml, llama3, mistral, alpaca and exaone.
const std::vector<BuiltInTemplate>& BuiltInTemplates();

/// The chat template of a merge's result.
struct ChatTemplateChoice {
  bool is_changed = false;  // it is another than the tokenizer of the result comes with
  std::string text;         // Jinja; empty: none
  std::string from;         // "chatml", "the config's", or the name of the model; empty: none
  std::vector<std::string> notes;
};

/// What `chat_template: setting` means:
///   empty            that of `owner`, whose tokenizer the result has
///   auto             the one that most of the models have, those without one not counted; of several that
///                    are equally frequent that of the owner, else that of the first model
///   a name           one of BuiltInTemplates
///   any other text   the template itself: at least 20 characters and a "{", as mergekit tells them apart
/// Throws Error(kInput), naming `config`, for a name that is not there, with the nearest one, for a template
/// that forge's engine cannot read, and where there is no tokenizer to put it into.
ChatTemplateChoice ChooseChatTemplate(const std::string& setting, const std::vector<ModelTokenizer>& models,
                                      const ModelTokenizer& owner, const std::string& config);

/// What a built-in template needs and the result does not have: markers that are no token of it, an end of
/// turn at which it does not stop (`eos` are the ids that end a text). Nothing for other templates.
std::vector<std::string> TemplateNotes(const ChatTemplateChoice& choice, const text::TokenizerData& tokenizer,
                                       const std::vector<int>& eos);

/// Puts a template into the tokenizer_config.json of a folder, the other keys of which stay; makes one if
/// there is none. A chat_template.jinja, which would come before it, goes.
void WriteChatTemplate(const std::filesystem::path& folder, const std::string& text);

}  // namespace forge::pipeline
