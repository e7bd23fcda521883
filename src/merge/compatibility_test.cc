// SPDX-License-Identifier: Apache-2.0
#include "merge/compatibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/testing_models.h"

namespace forge::merge {
namespace {

using Kind = Difference::Kind;
using model::testing::TinyConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelFacts Facts(const std::string& name, const std::string& model_type = "llama") {
  return {.name = name,
          .config = TinyConfig(model_type),
          .type = "BF16",
          .tokenizer =
              TokenizerFacts{.tokens = {"a", "b", "c"}, .special_ids = {{"eos", 2}}, .chat_template = "x"}};
}

std::vector<std::string> Fields(const std::vector<Difference>& differences, Kind kind) {
  std::vector<std::string> fields;
  for (const Difference& difference : differences)
    if (difference.kind == kind) fields.push_back(difference.field);
  return fields;
}

TEST(RefuseDifferences, NamesAllOfThemAndEachFixOnce) {
  ModelFacts b = Facts("b");
  b.config.hidden_size = 96;
  b.config.intermediate_size = 1;
  b.config.rope_theta = 10000;
  b.config.vocab_size = 41;
  b.tokenizer->tokens = {"a", "B", "c"};
  const std::vector<Difference> differences = CompareModels({Facts("a"), b});
  ASSERT_EQ(differences.size(), 5u);
  try {
    RefuseDifferences("cannot search", differences,
                      {{"vocab_size", "one vocabulary"}, {"tokens", "one vocabulary"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.fields().what, "cannot search");
    for (const Difference& difference : differences)
      EXPECT_THAT(error.fields().why, HasSubstr(difference.text));
    EXPECT_EQ(
        error.fields().fix,
        "merge fine-tunes of one base model; one vocabulary; the merged model has one value: that of the "
        "base unless you choose another");
  }
  RefuseDifferences("cannot search", {}, {});
}

TEST(CompareModels, FindsNothingBetweenFineTunesOfOneBase) {
  EXPECT_TRUE(CompareModels({Facts("a"), Facts("b"), Facts("c")}).empty());
  EXPECT_TRUE(CompareModels({Facts("a")}).empty());
}

TEST(CompareModels, ForbidsOtherShapesAndOtherComputations) {
  ModelFacts b = Facts("b");
  b.config.hidden_size = 96;
  b.config.intermediate_size = 1;
  b.config.num_hidden_layers = 3;
  b.config.num_attention_heads = 8;
  b.config.num_key_value_heads = 1;
  b.config.head_dim = 32;
  b.config.attention_bias = true;
  const auto differences = CompareModels({Facts("a"), b});
  EXPECT_THAT(Fields(differences, Kind::kForbids),
              ElementsAre("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "head_dim", "attention_bias"));
  EXPECT_EQ(differences[0].text, "hidden_size is 64 in a and 96 in b");
  EXPECT_THAT(Fields(CompareModels({Facts("a"), Facts("b", "qwen2")}), Kind::kForbids),
              ElementsAre("model_type", "attention_bias"));
  EXPECT_THAT(Fields(CompareModels({Facts("a"), Facts("b", "mistral")}), Kind::kForbids), ElementsAre());
}

TEST(CompareModels, LeavesSettingsAndVocabularyToADecision) {
  ModelFacts b = Facts("b");
  b.config.vocab_size = 41;
  b.config.tie_word_embeddings = false;
  b.config.rope_theta = 1e6;
  b.config.rope_scaling = {.type = model::RopeScaling::Type::kLinear, .factor = 4};
  b.config.rms_norm_eps = 1e-6;
  b.config.max_position_embeddings = 256;
  b.config.eos_token_ids = {3};
  b.type = "F32";
  b.tokenizer->tokens = {"a", "B", "c", "d"};
  b.tokenizer->special_ids = {{"eos", 1}, {"bos", 0}};
  b.tokenizer->chat_template = "";
  const auto differences = CompareModels({Facts("a"), b});
  EXPECT_TRUE(Fields(differences, Kind::kForbids).empty());
  EXPECT_THAT(Fields(differences, Kind::kNeedsDecision),
              ElementsAre("vocab_size", "tie_word_embeddings", "rope_theta", "rope_scaling", "rms_norm_eps",
                          "max_position_embeddings", "eos_token_id", "type", "tokens", "tokens",
                          "bos of the tokenizer", "eos of the tokenizer", "chat_template"));
  EXPECT_EQ(differences[3].text, "rope_scaling is none in a and linear by 4 in b");
  EXPECT_EQ(differences[8].text, "1 of 3 tokens differ in a and b, the first at id 1: \"b\" and \"B\"");
  EXPECT_EQ(differences[9].text, "the tokenizer has 3 tokens in a and 4 in b");
  for (const Difference& difference : differences)
    EXPECT_FALSE(difference.advice.empty()) << difference.field;
}

TEST(CompareModels, NamesTokenizersThatAreMissingOrCannotBeRead) {
  ModelFacts b = Facts("b");
  b.tokenizer.reset();
  EXPECT_EQ(CompareModels({Facts("a"), b})[0].text, "a has a tokenizer, b has none");
  b.tokenizer_error = "it is odd";
  EXPECT_THAT(CompareModels({Facts("a"), b})[0].text,
              HasSubstr("the tokenizer of b cannot be read: it is odd"));
}

}  // namespace
}  // namespace forge::merge
