// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_vocabulary.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "io/atomic_file.h"
#include "pipeline/model_source.h"
#include "pipeline/testing_merges.h"

namespace forge::pipeline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using text::TokenType;

constexpr int kBytes = text::kByteVocabSize;  // tokens that both models have

/// Adds a token that two others make.
void AddMerged(text::TokenizerData& data, const std::string& left, const std::string& right) {
  const auto id = [&](const std::string& token) {
    return static_cast<int>(std::find(data.tokens.begin(), data.tokens.end(), token) - data.tokens.begin());
  };
  const int result = static_cast<int>(data.tokens.size());
  data.merges.push_back({id(left), id(right), result});
  data.tokens.push_back(left + right);
  data.types.push_back(TokenType::kNormal);
}

/// Two byte-level models with the same first 259 tokens:
///   a  then "th", "the", and three rows without a token: 264 rows of the numbers 0, 1, 2, ...
///   b  then "in", "ing", "<|im_end|>", at which it ends: 262 rows of the numbers 1000, 1001, ...
class VocabularyMerge : public testing::MergeFolder {
 protected:
  void SetUp() override {
    MergeFolder::SetUp();
    AddMerged(a_, "t", "h");
    AddMerged(a_, "th", "e");
    AddMerged(b_, "i", "n");
    AddMerged(b_, "in", "g");
    b_.tokens.push_back("<|im_end|>");
    b_.types.push_back(TokenType::kControl);
    b_.added.push_back({.id = kBytes + 2, .rstrip = true});
    b_.eos = kBytes + 2;
    SaveNumbered("a", 0, kBytes + 5, {text::kByteEndOfText}, a_);
    SaveNumbered("b", 1000, kBytes + 3, {kBytes + 2, text::kByteEndOfText}, b_);
  }

  /// A model with an own head. Row r of its embedding is all first + r, of its head ten times that.
  void SaveNumbered(const std::string& name, int first, int rows, std::vector<int> eos,
                    const text::TokenizerData& tokenizer) const {
    model::ModelConfig config = model::testing::TinyConfig("llama");
    config.vocab_size = rows;
    config.tie_word_embeddings = false;
    config.eos_token_ids = std::move(eos);
    model::ModelWeights weights = model::testing::RandomWeights(config);
    for (const auto& [tensor, factor] :
         {std::pair("model.embed_tokens.weight", 1), std::pair("lm_head.weight", 10)}) {
      std::vector<float>& values = weights.at(tensor).values;
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(factor * (first + static_cast<int>(i) / config.hidden_size));
    }
    Save(name, config, weights, &tokenizer);
  }

  /// linear, 1 : 1, with a as base unless it has none, and with more lines.
  static std::string Recipe(const std::string& more, bool has_base = true) {
    return std::string(R"(
merge_method: linear
models:
  - {model: "@a", parameters: {weight: 1}}
  - {model: "@b", parameters: {weight: 1}}
)") + (has_base ? "base_model: \"@a\"\n" : "") +
           more;
  }
  static ModelMergeSettings NoSmokeTest() { return {.hash = false, .smoke_test = false}; }

  /// The first column of a tensor of the result, after a check that the others are equal to it.
  std::vector<float> Rows(const std::string& tensor = "model.embed_tokens.weight") const {
    const model::Tensor merged = model::LoadModelFolder(folder_ / "out").weights.at(tensor);
    std::vector<float> rows;
    for (std::size_t i = 0; i < merged.values.size(); ++i) {
      if (i % 64 == 0) rows.push_back(merged.values[i]);
      EXPECT_EQ(merged.values[i], rows.back()) << i;
    }
    return rows;
  }
  /// Those from the first one on that not both models have.
  std::vector<float> NewRows(const std::string& tensor = "model.embed_tokens.weight") const {
    const std::vector<float> rows = Rows(tensor);
    return {rows.begin() + kBytes, rows.end()};
  }
  static std::vector<std::string> Tokens(const text::Tokenizer& tokenizer, const std::string& text) {
    std::vector<std::string> tokens;
    for (const int id : tokenizer.Encode(text, true))
      tokens.push_back(tokenizer.data().tokens[static_cast<std::size_t>(id)]);
    return tokens;
  }

  text::TokenizerData a_ = text::MakeByteTokenizer(), b_ = text::MakeByteTokenizer();
};

TEST_F(VocabularyMerge, UnionHasTheRowsOfBothModelsByToken) {
  const io::Json report = Merge(Recipe("tokenizer_source: union"), NoSmokeTest());
  const std::vector<float> rows = Rows();
  for (int id = 0; id < kBytes; ++id)
    ASSERT_EQ(rows[static_cast<std::size_t>(id)], static_cast<float>(id + 500)) << id;
  // "th" and "the" from a, "in", "ing" and "<|im_end|>" from b: only one model has each
  EXPECT_THAT(NewRows(), ElementsAre(259, 260, 1259, 1260, 1261));
  EXPECT_THAT(NewRows("lm_head.weight"), ElementsAre(2590, 2600, 12590, 12600, 12610));
  const io::Json& vocabulary = report["vocabulary"];
  EXPECT_EQ(vocabulary["tokens"], kBytes + 5);
  EXPECT_EQ(vocabulary["shared"], kBytes);
  EXPECT_EQ(vocabulary["added"], 3);
  EXPECT_EQ(vocabulary["never_made"], 0);
  EXPECT_EQ(vocabulary["models"][0]["own"], kBytes + 2);
  EXPECT_EQ(vocabulary["models"][0]["only_owner"], 3);
  EXPECT_EQ(vocabulary["models"][1]["rows_before"], kBytes + 3);
  EXPECT_EQ(io::ReadJsonFile(folder_ / "out/merge_report.json")["vocabulary"], vocabulary);
}

TEST_F(VocabularyMerge, UnionIsAModelWhoseTokenizerMakesTheTokensOfBoth) {
  Merge(Recipe("tokenizer_source: union"), NoSmokeTest());
  const LoadedModel merged = LoadModel(folder_ / "out");
  EXPECT_THAT(Tokens(*merged.tokenizer, "the thing<|im_end|>  s"),
              ElementsAre("the", "\u0120", "th", "ing", "<|im_end|>", "s"));  // rstrip is b's
  EXPECT_EQ(merged.config.eos_token_ids, std::vector{text::kByteEndOfText});  // the base's
  EXPECT_EQ(merged.tokenizer->data().eos, text::kByteEndOfText);
  EXPECT_EQ(merged.tokenizer->data().types.back(), TokenType::kControl);
}

TEST_F(VocabularyMerge, UnionRunsOnTexts) {
  const io::Json report = Merge(Recipe("tokenizer_source: union"));
  EXPECT_GT(report["smoke_test"]["tokens"], 100);
}

TEST_F(VocabularyMerge, BaseKeepsTheTokenizersFilesAndDropsTheOthersTokens) {
  io::Json tokenizer_config = io::ReadJsonFile(folder_ / "a/tokenizer_config.json");
  tokenizer_config["a key that forge does not write"] = true;
  io::WriteJsonFile(folder_ / "a/tokenizer_config.json", tokenizer_config);
  const io::Json report = Merge(Recipe("tokenizer_source: base"), NoSmokeTest());
  EXPECT_THAT(NewRows(), ElementsAre(259, 260));
  EXPECT_EQ(Rows()[7], 507);
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    EXPECT_EQ(io::ReadFile(folder_ / "out" / file), io::ReadFile(folder_ / "a" / file));
  EXPECT_EQ(report["vocabulary"]["models"][1]["dropped"], 3);
  EXPECT_THAT(report["notes"], Contains(AllOf(HasSubstr("has 261 rows"), HasSubstr("264 of"),
                                              HasSubstr("pad_to_multiple_of: 8"))));
}

TEST_F(VocabularyMerge, AModelAsSourceGivesItsTokensAndItsSpecials) {
  const io::Json report = Merge(Recipe("tokenizer_source: \"@b\""), NoSmokeTest());
  EXPECT_THAT(report["notes"], Contains(HasSubstr("eos_token_id of the result is [261, 256]")));
  EXPECT_THAT(report["notes"], Not(Contains(HasSubstr("the result has that of"))));
  EXPECT_THAT(NewRows(), ElementsAre(1259, 1260, 1261));
  EXPECT_EQ(io::ReadFile(folder_ / "out/tokenizer.json"), io::ReadFile(folder_ / "b/tokenizer.json"));
  const std::vector<int> eos{kBytes + 2, text::kByteEndOfText};
  EXPECT_EQ(LoadModel(folder_ / "out").config.eos_token_ids, eos);
  EXPECT_EQ(io::ReadJsonFile(folder_ / "out/generation_config.json")["eos_token_id"], eos);
  EXPECT_EQ(io::ReadJsonFile(folder_ / "out/config.json")["vocab_size"], kBytes + 3);
}

TEST_F(VocabularyMerge, AFolderOfATokenizerAloneIsASourceToo) {
  text::TokenizerData few = a_;  // "the" is token 0, and text ends with token 1, which no model has
  few.tokens = {"the", "<|end|>", "x"};
  few.types = {TokenType::kNormal, TokenType::kControl, TokenType::kNormal};
  few.merges.clear();
  few.eos = few.pad = 1;
  std::filesystem::create_directories(folder_ / "few");
  text::SaveTokenizer(folder_ / "few", few, 128);
  const io::Json report = Merge(Recipe("tokenizer_source: \"@few\""), NoSmokeTest());
  EXPECT_THAT(Rows(), ElementsAre(260, 0, 'x' + 500));
  EXPECT_EQ(LoadModel(folder_ / "out").config.eos_token_ids, std::vector{1});
  EXPECT_EQ(report["vocabulary"]["models"][0]["dropped"], kBytes + 2 - 2);
}

TEST_F(VocabularyMerge, PaddingIsTheMeanOfTheOtherRows) {
  const io::Json report = Merge(Recipe("tokenizer: {source: union, pad_to_multiple_of: 100}"), NoSmokeTest());
  const std::vector<float> rows = Rows();
  ASSERT_EQ(rows.size(), 300u);
  double sum = 0;
  for (int id = 0; id < kBytes + 5; ++id) sum += static_cast<double>(rows[static_cast<std::size_t>(id)]);
  EXPECT_THAT(std::vector(rows.begin() + kBytes + 5, rows.end()),
              Each(::testing::FloatEq(static_cast<float>(sum / (kBytes + 5)))));
  EXPECT_EQ(report["vocabulary"]["models"][1]["padding"], 36);
  EXPECT_EQ(LoadModel(folder_ / "out").tokenizer->size(), kBytes + 5);
}

TEST_F(VocabularyMerge, OverridesSayWhereARowComesFrom) {
  Merge(Recipe(R"(
tokenizer:
  source: union
  tokens:
    in: {source: {kind: zero}}
    ing: {source: {kind: model_token, model: "@a", token: th}, force: true}
    <|im_end|>: {source: {kind: model_token, model: "@a", token_id: 256}}
)"),
        NoSmokeTest());
  // a's row of "in" is zero, b's own stays; both take a's "th" for "ing"; a's row of <|im_end|> is its 256th
  EXPECT_THAT(NewRows(), ElementsAre(259, 260, 1259 / 2.0f, 259, (256 + 1261) / 2.0f));
}

TEST_F(VocabularyMerge, TokensBeyondTheEmbeddingGo) {
  SaveNumbered("short", 0, kBytes + 1, {text::kByteEndOfText}, a_);  // no row for "the"
  const io::Json report = Merge(R"(
merge_method: passthrough
base_model: "@short"
models: [{model: "@short"}]
tokenizer_source: base
)");
  const LoadedModel merged = LoadModel(folder_ / "out");
  EXPECT_EQ(merged.tokenizer->size(), kBytes + 1);
  EXPECT_THAT(Tokens(*merged.tokenizer, "the"), ElementsAre("th", "e"));
  EXPECT_THAT(report["notes"], Contains(HasSubstr("was not run on texts: its tokenizer has 261 tokens")));
}

TEST_F(VocabularyMerge, NotesTokensThatNoTextGives) {
  b_.merges.pop_back();  // "in" and "g" no longer make "ing"
  SaveNumbered("c", 0, kBytes + 3, {text::kByteEndOfText}, b_);
  const io::Json report = Open(R"(
merge_method: linear
models: [{model: "@a", parameters: {weight: 1}}, {model: "@c", parameters: {weight: 1}}]
tokenizer_source: union
)")
                              .Preview();
  EXPECT_EQ(report["vocabulary"]["never_made"], 1);
  EXPECT_THAT(report["notes"],
              Contains(AllOf(HasSubstr("1 of the 3 added tokens are never made"), HasSubstr("\"ing\""))));
}

TEST_F(VocabularyMerge, NotesSpecialTokensTemplatesAndCutsThatDiffer) {
  b_.chat_template = "{{ messages[0].content }}";
  b_.split_patterns = {text::kGpt2Pattern};
  SaveNumbered("b2", 0, kBytes + 3, {text::kByteEndOfText}, b_);
  const io::Json notes = Open(R"(
merge_method: linear
models: [{model: "@a", parameters: {weight: 1}}, {model: "@b2", parameters: {weight: 1}}]
tokenizer_source: union
)")
                             .Preview()["notes"];
  EXPECT_THAT(notes, Contains(AllOf(HasSubstr("eos of the result is \"<|endoftext|>\""),
                                    HasSubstr("b2 has \"<|im_end|>\""))));
  EXPECT_THAT(notes, Contains(AllOf(HasSubstr("the chat templates of"), HasSubstr("the result has none"))));
  EXPECT_THAT(notes, Contains(HasSubstr("differ in where text is cut")));
  EXPECT_THAT(notes, Not(Contains(HasSubstr("tokens differ in"))));
}

TEST_F(VocabularyMerge, NotesTokensThatDifferWhereRowsAreMergedById) {
  b_.tokens[200] = "other";
  b_.tokens[201] = "another";
  SaveNumbered("b2", 0, kBytes + 5, {text::kByteEndOfText}, b_);
  const io::Json notes = Open(R"(
merge_method: linear
models: [{model: "@a", parameters: {weight: 1}}, {model: "@b2", parameters: {weight: 1}}]
)")
                             .Preview()["notes"];
  EXPECT_THAT(notes, Contains(AllOf(HasSubstr("4 of 261 tokens differ"), HasSubstr("the first at id 200"),
                                    HasSubstr("rows are merged id by id"))));
}

TEST_F(VocabularyMerge, RefusesWhatCannotBeOneVocabulary) {
  std::filesystem::create_directories(folder_ / "bare");
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(folder_ / "b" / file, folder_ / "bare" / file);
  const auto with = [&](const std::string& other, const std::string& source) {
    return fmt::format(R"(
merge_method: linear
base_model: "@a"
models: [{{model: "@a", parameters: {{weight: 1}}}}, {{model: "@{}", parameters: {{weight: 1}}}}]
tokenizer_source: {}
)",
                       other, source);
  };
  EXPECT_THAT(ErrorOf(with("bare", "union")), AllOf(HasSubstr("bare has no tokenizer"), HasSubstr("fix:")));
  EXPECT_THAT(ErrorOf(Recipe("tokenizer_source: \"@bare\"")), HasSubstr("bare has no tokenizer"));
  text::TokenizerData characters = b_;
  characters.alphabet = text::Alphabet::kCharacters;
  characters.spaces.stage = text::SpaceSpelling::Stage::kNormalizer;
  SaveNumbered("characters", 0, kBytes + 3, {text::kByteEndOfText}, characters);
  EXPECT_THAT(ErrorOf(with("characters", "union")),
              AllOf(HasSubstr("cannot unite the vocabularies"), HasSubstr("tokenizer_source: base")));
  EXPECT_EQ(ErrorOf(with("characters", "base"), NoSmokeTest()), "no error");
  EXPECT_THAT(ErrorOf(Recipe("tokenizer: {tokens: {thing: {source: \"@a\"}}}")),
              HasSubstr("the result has no such token"));
}

}  // namespace
}  // namespace forge::pipeline
