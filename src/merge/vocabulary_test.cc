// SPDX-License-Identifier: Apache-2.0
#include "merge/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "merge/testing_sources.h"

namespace forge::merge {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Rule = RowOrigin::Rule;
using Source = TokenizerSetting::Source;

/// "x" is in all, "b" in the base only, "a" in the first only, "s" in both of these two without the base.
std::vector<VocabularyInput> Three() {
  return {{"m1", {"x", "a", "s", "t"}, 5}, {"base", {"b", "x", "t"}, 3}, {"m2", {"s", "x"}, 4}};
}

std::vector<Rule> Rules(const VocabularyPlan& plan, std::size_t model) {
  std::vector<Rule> rules;
  for (const RowOrigin& origin : plan.origins[model]) rules.push_back(origin.rule);
  return rules;
}

TEST(Vocabulary, UnitesTheTokensFromTheBaseOn) {
  const VocabularyPlan plan = PlanVocabulary({}, Three(), 1);
  EXPECT_THAT(plan.tokens, ElementsAre("b", "x", "t", "a", "s"));
  EXPECT_EQ(plan.rows, 5);
  EXPECT_THAT(plan.own_rows[0], ElementsAre(-1, 0, 3, 1, 2));
  EXPECT_THAT(plan.own_rows[1], ElementsAre(0, 1, 2, -1, -1));
  EXPECT_THAT(plan.own_rows[2], ElementsAre(-1, 1, -1, -1, 0));
  EXPECT_EQ(plan.shared, 1);
  EXPECT_EQ(plan.added, 2);
}

TEST(Vocabulary, BeginsWithTheFirstModelWithoutABase) {
  EXPECT_THAT(PlanVocabulary({}, Three(), -1).tokens, ElementsAre("x", "a", "s", "t", "b"));
}

TEST(Vocabulary, FillsARowFromItsOwnerTheBaseOrTheMean) {
  const VocabularyPlan plan = PlanVocabulary({}, Three(), 1);
  EXPECT_THAT(Rules(plan, 0), ElementsAre(Rule::kOnlyOwner, Rule::kOwn, Rule::kOwn, Rule::kOwn, Rule::kOwn));
  EXPECT_THAT(Rules(plan, 1), ElementsAre(Rule::kOwn, Rule::kOwn, Rule::kOwn, Rule::kOnlyOwner, Rule::kMean));
  EXPECT_THAT(Rules(plan, 2),
              ElementsAre(Rule::kOnlyOwner, Rule::kOwn, Rule::kBase, Rule::kOnlyOwner, Rule::kOwn));
  EXPECT_EQ(plan.origins[2][2].model, 1);
  EXPECT_EQ(plan.origins[2][2].row, 2);
  EXPECT_EQ(plan.origins[1][3].model, 0);
  EXPECT_EQ(plan.origins[1][3].row, 1);
  EXPECT_EQ(plan.counts[2].only_owner, 2);
  EXPECT_EQ(plan.counts[2].base, 1);
  EXPECT_EQ(plan.counts[1].mean, 1);
  EXPECT_EQ(plan.counts[1].own, 3);
  EXPECT_EQ(Rules(PlanVocabulary({}, Three(), -1), 2)[3], Rule::kMean) << "t, without a base";
}

TEST(Vocabulary, TakesThatOfTheBaseOrOfAModelAsItIs) {
  const VocabularyPlan base = PlanVocabulary({.source = Source::kBase}, Three(), 1);
  EXPECT_THAT(base.tokens, ElementsAre("b", "x", "t"));
  EXPECT_EQ(base.counts[0].dropped, 2);
  EXPECT_EQ(base.counts[1].dropped, 0);
  const VocabularyPlan other =
      PlanVocabulary({.source = Source::kModel, .model = "z"}, Three(), 1, {"q", "s"});
  EXPECT_THAT(other.tokens, ElementsAre("q", "s"));
  EXPECT_THAT(Rules(other, 1), ElementsAre(Rule::kZero, Rule::kMean));
  EXPECT_EQ(other.counts[1].zero, 1);
}

TEST(Vocabulary, LeavesOutTokensWithoutARow) {
  const VocabularyPlan plan = PlanVocabulary({}, {{"a", {"x", "y", "z"}, 2}, {"b", {"z", "w"}, 1}}, 0);
  EXPECT_THAT(plan.tokens, ElementsAre("x", "y", "z"));
  EXPECT_THAT(plan.own_rows[0], ElementsAre(0, 1, -1));
}

TEST(Vocabulary, KeepsGapsAndRepeatedTokensOfTheBaseInTheirPlaces) {
  const VocabularyPlan plan = PlanVocabulary({}, {{"a", {"x", "", "x", "y"}, 4}, {"b", {"", "y"}, 2}}, 0);
  EXPECT_THAT(plan.tokens, ElementsAre("x", "", "x", "y"));
  EXPECT_THAT(plan.own_rows[0], ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(plan.own_rows[1], ElementsAre(-1, -1, -1, 1));
}

TEST(Vocabulary, PadsTheRowsToAMultiple) {
  const VocabularyPlan plan = PlanVocabulary({.pad_to_multiple_of = 4}, Three(), 1);
  EXPECT_EQ(plan.rows, 8);
  EXPECT_EQ(plan.tokens.size(), 5u);
  EXPECT_EQ(plan.origins[0].size(), 8u);
  EXPECT_EQ(plan.origins[0][5].rule, Rule::kPadding);
  EXPECT_EQ(plan.counts[0].padding, 3);
  EXPECT_EQ(PlanVocabulary({.pad_to_multiple_of = 5}, Three(), 1).rows, 5);
}

TEST(Vocabulary, OverridesRowsThatModelsLackOrAllIfForced) {
  using Kind = TokenOverride::Kind;
  TokenizerSetting setting;
  setting.tokens = {
      {.token = "b", .kind = Kind::kZero},
      {.token = "s", .kind = Kind::kModel, .model = "m2"},
      {.token = "x", .kind = Kind::kModelToken, .model = "m1", .source_token = "a", .force = true},
      {.token = "t", .kind = Kind::kModelToken, .model = "m1", .source_id = 4}};
  const VocabularyPlan plan = PlanVocabulary(setting, Three(), 1);
  EXPECT_EQ(plan.origins[0][0].rule, Rule::kOverride);
  EXPECT_EQ(plan.origins[0][0].model, -1);
  EXPECT_EQ(plan.origins[1][0].rule, Rule::kOwn) << "the base has b";
  EXPECT_EQ(plan.origins[1][4].model, 2);
  EXPECT_EQ(plan.origins[1][4].row, 0);
  for (std::size_t m = 0; m < 3; ++m) EXPECT_EQ(plan.origins[m][1].row, 1) << "row of a in m1";
  for (std::size_t m = 0; m < 3; ++m) EXPECT_EQ(plan.origins[m][1].model, 0);
  EXPECT_EQ(plan.origins[2][2].row, 4) << "a row beyond the tokens";
  EXPECT_EQ(plan.counts[0].overridden, 2);
}

TEST(Vocabulary, NamesEveryOverrideOfWhatIsNotThere) {
  using Kind = TokenOverride::Kind;
  TokenizerSetting setting;
  setting.tokens = {{.token = "<|im_end|>", .kind = Kind::kZero},
                    {.token = "x", .kind = Kind::kModel, .model = "m3"},
                    {.token = "b", .kind = Kind::kModel, .model = "m2"},
                    {.token = "t", .kind = Kind::kModelToken, .model = "m2", .source_token = "q"},
                    {.token = "s", .kind = Kind::kModelToken, .model = "m2", .source_id = 4}};
  std::vector<VocabularyInput> models = Three();
  models[0].tokens.push_back("<|im_and|>");
  EXPECT_THAT(
      testing::ErrorOf([&] { PlanVocabulary(setting, models, 1); }),
      AllOf(
          HasSubstr(
              "tokenizer.tokens[\"<|im_end|>\"]: the result has no such token; did you mean \"<|im_and|>\"?"),
          HasSubstr("tokenizer.tokens[\"x\"]: m3 is not one of the models that are merged"),
          HasSubstr("tokenizer.tokens[\"b\"]: m2 has no token \"b\""),
          HasSubstr("tokenizer.tokens[\"t\"]: m2 has no token \"q\""),
          HasSubstr("tokenizer.tokens[\"s\"]: m2 has the rows [0, 4), and not 4")));
}

}  // namespace
}  // namespace forge::merge
