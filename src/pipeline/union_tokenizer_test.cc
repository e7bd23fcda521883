// SPDX-License-Identifier: Apache-2.0
#include "pipeline/union_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using text::Merge;
using text::TokenizerData;
using text::TokenType;

/// A SentencePiece tokenizer of normal tokens behind "<unk>", the first.
ModelTokenizer Pieces(const std::string& name, const std::vector<std::string>& tokens) {
  TokenizerData data{.alphabet = text::Alphabet::kCharacters, .tokens = {"<unk>"}, .unknown = 0};
  data.tokens.insert(data.tokens.end(), tokens.begin(), tokens.end());
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  data.types[0] = TokenType::kUnknown;
  return {.name = name, .base = name, .data = data, .problem = ""};
}

TokenizerData Unite(const std::vector<ModelTokenizer>& models) {
  std::vector<merge::VocabularyInput> inputs;
  for (const ModelTokenizer& model : models)
    inputs.push_back({model.name, model.data->tokens, static_cast<int>(model.data->tokens.size())});
  return MakeUnionTokenizer(merge::PlanVocabulary({}, inputs, 0), models, 0);
}

std::vector<std::string> Tokens(const TokenizerData& data, const std::string& text) {
  std::vector<std::string> tokens;
  for (const int id : text::Tokenizer(data).Encode(text))
    tokens.push_back(data.tokens[static_cast<std::size_t>(id)]);
  return tokens;
}

TEST(UnionTokenizer, PutsNewTokensBehindTheScoresOfTheBase) {
  ModelTokenizer base = Pieces("base", {"a", "b", "ab"}), other = Pieces("other", {"b", "c", "bc"});
  base.data->scores = {0, 0, 0, -1};
  other.data->merges = {{1, 2, 3}};
  const TokenizerData result = Unite({base, other});
  EXPECT_THAT(result.tokens, ElementsAre("<unk>", "a", "b", "ab", "c", "bc"));
  EXPECT_THAT(result.scores, ElementsAre(0, 0, 0, -1, -2, -3));
  EXPECT_THAT(Tokens(result, "abc"), ElementsAre("ab", "c"));  // as the base cuts it
  EXPECT_THAT(Tokens(result, "bc"), ElementsAre("bc"));
}

TEST(UnionTokenizer, TakesTheMergesThatFollowFromAnothersScores) {
  ModelTokenizer base = Pieces("base", {"a", "b", "ab"}), other = Pieces("other", {"b", "c", "cb", "bcb"});
  base.data->merges = {{1, 2, 3}};
  other.data->scores = {0, 0, 0, -1, -2};
  const TokenizerData result = Unite({base, other});
  EXPECT_THAT(result.merges, ElementsAre(Merge{1, 2, 3}, Merge{4, 2, 5}, Merge{2, 5, 6}));
  EXPECT_THAT(Tokens(result, "abcb"), ElementsAre("ab", "cb"));
}

TEST(UnionTokenizer, TakesEachPairOnceAndNeverMakesControlTokensOfText) {
  ModelTokenizer base = Pieces("base", {"a", "b"}), second = Pieces("second", {"a", "b", "ab"}),
                 third = Pieces("third", {"b", "a", "ab", "ba"});
  second.data->merges = {{1, 2, 3}};
  third.data->merges = {{1, 2, 4}, {2, 1, 3}};
  EXPECT_THAT(Unite({base, second, third}).merges, ElementsAre(Merge{1, 2, 3}, Merge{2, 1, 4}));
  second.data->types[3] = TokenType::kControl;
  const TokenizerData result = Unite({base, second, third});
  EXPECT_EQ(result.types[3], TokenType::kControl);
  EXPECT_THAT(result.merges, ElementsAre(Merge{2, 1, 4}));
}

TEST(UnionTokenizer, KeepsTheSpecialsOfTheBaseAndMakesAnothersUnknownAControlToken) {
  ModelTokenizer base = Pieces("base", {"</s>"}), other = Pieces("other", {"<pad>"});
  base.data->eos = 1;
  other.data->tokens[0] = "[UNK]";
  other.data->pad = 1;
  const TokenizerData result = Unite({base, other});
  EXPECT_THAT(result.tokens, ElementsAre("<unk>", "</s>", "[UNK]", "<pad>"));
  EXPECT_EQ(result.types[2], TokenType::kControl);
  EXPECT_EQ(result.unknown, 0);
  EXPECT_EQ(result.eos, 1);
  EXPECT_FALSE(result.pad);
}

TEST(KeepTokens, DropsAllThatNamesATokenBeyond) {
  TokenizerData data = *Pieces("any", {"a", "b", "ab", "ba", "<s>"}).data;
  data.merges = {{1, 2, 3}, {2, 1, 4}};
  data.bos = 5;
  data.eos = 1;
  data.before = {5};
  data.added = {{.id = 5, .lstrip = true}};
  const TokenizerData kept = KeepTokens(data, 4);
  EXPECT_THAT(kept.tokens, ElementsAre("<unk>", "a", "b", "ab"));
  EXPECT_THAT(kept.merges, ElementsAre(Merge{1, 2, 3}));
  EXPECT_FALSE(kept.bos);
  EXPECT_EQ(kept.eos, 1);
  EXPECT_THAT(kept.before, IsEmpty());
  EXPECT_THAT(kept.added, IsEmpty());
  EXPECT_EQ(KeepTokens(data, 6).tokens, data.tokens);
}

}  // namespace
}  // namespace forge::pipeline
