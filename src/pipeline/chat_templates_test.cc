// SPDX-License-Identifier: Apache-2.0
#include "pipeline/chat_templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/atomic_file.h"
#include "pipeline/testing_merges.h"
#include "text/jinja/template.h"

namespace forge::pipeline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

const io::OrderedJson kConversation = {{{"role", "system"}, {"content", "Be brief."}},
                                       {{"role", "user"}, {"content", "1 + 1?"}},
                                       {{"role", "assistant"}, {"content", "2"}},
                                       {{"role", "user"}, {"content", "2 + 2?"}}};

std::string Render(const std::string& name, io::OrderedJson messages = kConversation) {
  for (const BuiltInTemplate& built_in : BuiltInTemplates())
    if (built_in.name == name)
      return text::jinja::Template(built_in.text)
          .Render({{"messages", std::move(messages)},
                   {"add_generation_prompt", true},
                   {"bos_token", "<s>"},
                   {"eos_token", "</s>"}});
  return "no such template";
}

TEST(BuiltInTemplate, WritesTheConversationAsItsModelsExpectIt) {
  EXPECT_EQ(Render("chatml"),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n"
            "<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(Render("llama3"),
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n1 + 1?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n2<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n2 + 2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Render("mistral"), "<s>[INST] Be brief.\n\n1 + 1? [/INST] 2</s>[INST] 2 + 2? [/INST]");
  EXPECT_EQ(Render("alpaca"),
            "Be brief.\n\n### Instruction:\n1 + 1?\n\n### Response:\n2</s>\n\n### Instruction:\n2 + 2?\n\n"
            "### Response:\n");
  EXPECT_EQ(Render("exaone"),
            "[|system|]Be brief.[|endofturn|]\n[|user|]1 + 1?\n[|assistant|]2[|endofturn|]\n"
            "[|user|]2 + 2?\n[|assistant|]");
  EXPECT_EQ(Render("exaone", {{{"role", "user"}, {"content", "1 + 1?"}}}),
            "[|system|][|endofturn|]\n[|user|]1 + 1?\n[|assistant|]");
}

TEST(BuiltInTemplate, ToleratesATokenizerWithoutBosAndEos) {
  for (const BuiltInTemplate& built_in : BuiltInTemplates())
    EXPECT_NO_THROW(text::jinja::Template(built_in.text).Render({{"messages", kConversation}}))
        << built_in.name;
}

ModelTokenizer WithTemplate(const std::string& name, const std::string& text) {
  ModelTokenizer model{.name = name, .base = name, .data = text::MakeByteTokenizer(), .problem = ""};
  model.data->chat_template = text;
  return model;
}

std::string ErrorOf(const std::string& setting, const std::vector<ModelTokenizer>& models) {
  try {
    ChooseChatTemplate(setting, models, models[0], "recipe.yml");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatTemplateChoice, AutoTakesWhatMostModelsHave) {
  const std::vector<ModelTokenizer> models = {WithTemplate("base", ""), WithTemplate("a", "A"),
                                              WithTemplate("b", "B"), WithTemplate("c", "B")};
  const ChatTemplateChoice choice = ChooseChatTemplate("auto", models, models[0], "recipe.yml");
  EXPECT_EQ(choice.text, "B");
  EXPECT_EQ(choice.from, "b");
  EXPECT_TRUE(choice.is_changed);
  EXPECT_THAT(choice.notes, Contains(HasSubstr("2 of the 3 models")));
}

TEST(ChatTemplateChoice, AutoPrefersTheOwnersTemplateAmongEquals) {
  const std::vector<ModelTokenizer> models = {WithTemplate("a", "A"), WithTemplate("b", "B")};
  const ChatTemplateChoice choice = ChooseChatTemplate("auto", models, models[1], "recipe.yml");
  EXPECT_EQ(choice.text, "B");
  EXPECT_FALSE(choice.is_changed);
  const std::vector<ModelTokenizer> others = {WithTemplate("base", ""), models[0], models[1]};
  EXPECT_EQ(ChooseChatTemplate("auto", others, others[0], "recipe.yml").text, "A");
}

TEST(ChatTemplateChoice, RefusesNamesThatAreNotThereAndTemplatesThatCannotBeRead) {
  const std::vector<ModelTokenizer> models = {WithTemplate("a", "A")};
  EXPECT_THAT(ErrorOf("chatlm", models), AllOf(HasSubstr("auto, chatml, llama3, mistral, alpaca, exaone"),
                                               HasSubstr("did you mean chatml?")));
  EXPECT_THAT(ErrorOf("{{ too_short }}", models), HasSubstr("20 characters"));
  EXPECT_THAT(ErrorOf("{% for m in messages %}{{ m.content }}", models),
              HasSubstr("the chat_template of recipe.yml"));
  EXPECT_EQ(ErrorOf("{% for m in messages %}{{ m.content }}{% endfor %}", models), "no error");
  EXPECT_THAT(ErrorOf("chatml", {{.name = "bare", .base = "bare", .data = {}, .problem = ""}}),
              AllOf(HasSubstr("bare"), HasSubstr("has none")));
}

TEST(ChatTemplateChoice, NotesMarkersThatAreNoTokensAndEndsThatDoNotEnd) {
  ModelTokenizer model = WithTemplate("a", "");
  const ChatTemplateChoice choice = ChooseChatTemplate("chatml", {model}, model, "recipe.yml");
  EXPECT_THAT(TemplateNotes(choice, *model.data, {256}),
              Contains(HasSubstr("writes <|im_start|>, <|im_end|>, which the tokenizer has no tokens for")));
  for (const char* marker : {"<|im_start|>", "<|im_end|>"}) {
    model.data->tokens.push_back(marker);
    model.data->types.push_back(text::TokenType::kControl);
  }
  EXPECT_THAT(TemplateNotes(choice, *model.data, {256}),
              ElementsAre(HasSubstr("ends answers with <|im_end|>, token 260")));
  EXPECT_TRUE(TemplateNotes(choice, *model.data, {256, 260}).empty());
}

class ChatTemplateMerge : public testing::MergeFolder {
 protected:
  void SetUp() override {
    MergeFolder::SetUp();
    config_.vocab_size = text::kByteVocabSize;
    tokenizer_.chat_template = "{{ 'the own template of the model' }}";
    Save("a", config_, model::testing::RandomWeights(config_), &tokenizer_);
  }
  /// Of the result of a passthrough with more lines.
  std::string Template(const std::string& more) const {
    Merge("merge_method: passthrough\nmodels: [{model: \"@a\"}]\n" + more,
          {.replace = true, .hash = false, .smoke_test = false});
    return text::LoadTokenizer(folder_ / "out")->data().chat_template;
  }
  model::ModelConfig config_ = model::testing::TinyConfig();
  text::TokenizerData tokenizer_ = text::MakeByteTokenizer();
};

TEST_F(ChatTemplateMerge, PutsTheTemplateIntoTheFilesAndLeavesTheOthersAsTheyAre) {
  EXPECT_EQ(Template(""), tokenizer_.chat_template);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    EXPECT_EQ(io::ReadFile(folder_ / "out" / file), io::ReadFile(folder_ / "a" / file));
  io::WriteFileAtomically(folder_ / "a/chat_template.jinja", "{{ 'this one comes first' }}");
  EXPECT_EQ(Template(""), "{{ 'this one comes first' }}");
  EXPECT_EQ(Template("chat_template: chatml"), BuiltInTemplates()[0].text);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/chat_template.jinja"));
  EXPECT_EQ(io::ReadFile(folder_ / "out/tokenizer.json"), io::ReadFile(folder_ / "a/tokenizer.json"));
  EXPECT_EQ(Template("chat_template: \"{{ messages[0]['content'] }}\""), "{{ messages[0]['content'] }}");
}

}  // namespace
}  // namespace forge::pipeline
