// SPDX-License-Identifier: Apache-2.0
#include "pipeline/chat_templates.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/nearest_name.h"
#include "io/json_file.h"
#include "text/jinja/template.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShortestTemplate = 20;  // mergekit's line between a name and a template

// Texts are joined by ~, which takes a missing bos_token or eos_token for nothing; + would be an error.
constexpr const char* kChatMl =
    R"({% for message in messages %}
{{ '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}
{%- endif %})";

constexpr const char* kLlama3 =
    R"({{ bos_token }}
{%- for message in messages %}
{{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ message.content | trim ~ '<|eot_id|>' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %})";

// There is no turn for the system: its text stands before that of the next question.
constexpr const char* kMistral =
    R"({{ bos_token }}
{%- set system = namespace(text='') %}
{% for message in messages %}
{% if message.role == 'system' %}
{% set system.text = message.content ~ '\n\n' %}
{% elif message.role == 'user' %}
{{ '[INST] ' ~ system.text ~ message.content ~ ' [/INST]' }}
{%- set system.text = '' %}
{% elif message.role == 'assistant' %}
{{ ' ' ~ message.content | trim ~ eos_token }}
{%- else %}
{{ raise_exception('this template has no role ' ~ message.role) }}
{% endif %}
{% endfor %})";

constexpr const char* kAlpaca =
    R"({% for message in messages %}
{% if message.role == 'system' %}
{{ message.content ~ '\n\n' }}
{%- elif message.role == 'user' %}
{{ '### Instruction:\n' ~ message.content ~ '\n\n' }}
{%- elif message.role == 'assistant' %}
{{ '### Response:\n' ~ message.content ~ eos_token ~ '\n\n' }}
{%- else %}
{{ raise_exception('this template has no role ' ~ message.role) }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '### Response:\n' }}
{%- endif %})";

// A conversation without a system turn gets an empty one; a question ends with its line.
constexpr const char* kExaone =
    R"({% if messages and messages[0].role != 'system' %}
{{ '[|system|][|endofturn|]\n' }}
{%- endif %}
{% for message in messages %}
{{ '[|' ~ message.role ~ '|]' ~ message.content ~ ('\n' if message.role == 'user' else '[|endofturn|]\n') }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '[|assistant|]' }}
{%- endif %})";

const BuiltInTemplate* Find(const std::string& name) {
  for (const BuiltInTemplate& built_in : BuiltInTemplates())
    if (built_in.name == name) return &built_in;
  return nullptr;
}

const std::string& TemplateOf(const ModelTokenizer& model) {
  static const std::string kNone;
  return model.data ? model.data->chat_template : kNone;
}

ChatTemplateChoice MostFrequent(const std::vector<ModelTokenizer>& models, const ModelTokenizer& owner) {
  const auto count = [&](const std::string& text) {
    return std::count_if(models.begin(), models.end(),
                         [&](const ModelTokenizer& model) { return TemplateOf(model) == text; });
  };
  const ModelTokenizer* best = &owner;
  std::ptrdiff_t most = TemplateOf(owner).empty() ? 0 : count(TemplateOf(owner)), with_one = 0;
  for (const ModelTokenizer& model : models) {
    if (TemplateOf(model).empty()) continue;
    ++with_one;
    if (const std::ptrdiff_t frequency = count(TemplateOf(model)); frequency > most) {
      best = &model;
      most = frequency;
    }
  }
  ChatTemplateChoice choice{.text = TemplateOf(*best), .from = most > 0 ? best->name : ""};
  choice.notes.push_back(most > 0
                             ? fmt::format("chat_template: auto takes that of {}; {} of the {} models that "
                                           "have one have the same",
                                           best->name, most, with_one)
                             : "chat_template: auto finds none; no model has a chat template");
  return choice;
}

[[noreturn]] void RefuseName(const std::string& setting, const std::string& config) {
  std::vector<std::string> names{"auto"};
  for (const BuiltInTemplate& built_in : BuiltInTemplates()) names.push_back(built_in.name);
  const auto nearest = NearestName(setting, names);
  throw Error(
      {.what = fmt::format("cannot use chat_template: {} of {}", setting, config),
       .why = fmt::format("there are {}; a text of {} characters or more with a \"{{\" in it is the "
                          "template itself",
                          fmt::join(names, ", "), kShortestTemplate),
       .fix = nearest ? "did you mean " + *nearest + "?" : "take one of these, or write the template"});
}

}  // namespace

const std::vector<BuiltInTemplate>& BuiltInTemplates() {
  static const std::vector<BuiltInTemplate> kTemplates = {
      {"chatml", kChatMl, {"<|im_start|>", "<|im_end|>"}, "<|im_end|>"},
      {"llama3", kLlama3, {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, "<|eot_id|>"},
      {"mistral", kMistral, {}, ""},
      {"alpaca", kAlpaca, {}, ""},
      {"exaone", kExaone, {"[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"}, "[|endofturn|]"}};
  return kTemplates;
}

ChatTemplateChoice ChooseChatTemplate(const std::string& setting, const std::vector<ModelTokenizer>& models,
                                      const ModelTokenizer& owner, const std::string& config) {
  ChatTemplateChoice choice;
  if (setting.empty()) {
    choice.text = TemplateOf(owner);
    choice.from = choice.text.empty() ? "" : owner.name;
    return choice;
  }
  if (setting == "auto") {
    choice = MostFrequent(models, owner);
  } else if (const BuiltInTemplate* built_in = Find(setting)) {
    choice = {.text = built_in->text, .from = setting};
  } else if (setting.size() >= kShortestTemplate && setting.find('{') != std::string::npos) {
    text::jinja::Template(setting, {.what = "the chat_template of " + config, .fix = "correct the template"});
    choice = {.text = setting, .from = "the config's"};
  } else {
    RefuseName(setting, config);
  }
  choice.is_changed = choice.text != TemplateOf(owner);
  if (choice.is_changed && !owner.data)
    throw Error(
        {.what = "cannot set the chat_template of " + config,
         .why = owner.name + ", whose tokenizer the result has, " +
                (owner.problem.empty() ? "has none" : "has one that cannot be read: " + owner.problem),
         .fix = "leave chat_template out, or add the tokenizer's files to " + owner.base.string()});
  return choice;
}

std::vector<std::string> TemplateNotes(const ChatTemplateChoice& choice, const text::TokenizerData& tokenizer,
                                       const std::vector<int>& eos) {
  std::vector<std::string> notes;
  const BuiltInTemplate* built_in = Find(choice.from);
  if (built_in == nullptr || choice.text != built_in->text) return notes;
  const auto id_of = [&](const std::string& token) {
    const auto found = std::find(tokenizer.tokens.begin(), tokenizer.tokens.end(), token);
    return found == tokenizer.tokens.end() ? -1 : static_cast<int>(found - tokenizer.tokens.begin());
  };
  std::vector<std::string> missing;
  for (const std::string& marker : built_in->markers)
    if (id_of(marker) < 0) missing.push_back(marker);
  if (!missing.empty())
    notes.push_back(fmt::format("the template {} writes {}, which the tokenizer has no tokens for",
                                built_in->name, fmt::join(missing, ", ")));
  const int end = built_in->end_of_turn.empty() ? -1 : id_of(built_in->end_of_turn);
  if (end >= 0 && std::find(eos.begin(), eos.end(), end) == eos.end())
    notes.push_back(
        fmt::format("the template {} ends answers with {}, token {}, at which the result does not "
                    "stop by itself: it is not in the eos_token_id of its config",
                    built_in->name, built_in->end_of_turn, end));
  return notes;
}

void WriteChatTemplate(const fs::path& folder, const std::string& text) {
  const fs::path path = folder / "tokenizer_config.json";
  io::Json config = fs::exists(path) ? io::ReadJsonFile(path) : io::Json::object();
  config["chat_template"] = text;
  io::WriteJsonFile(path, config);
  fs::remove(folder / "chat_template.jinja");
}

}  // namespace forge::pipeline
