// SPDX-License-Identifier: Apache-2.0
#include "text/token_matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::text {
namespace {

using ::testing::ElementsAre;

TokenMatcher::Token Make(int id, std::string text, AddedTokenRule rule = {}) {
  rule.id = id;
  return {.text = std::move(text), .rule = rule};
}

/// What was found, as "id:text".
std::vector<std::string> Find(const TokenMatcher& matcher, std::string_view text, bool with_control = true) {
  std::vector<std::string> found;
  for (const TokenMatcher::Match& match : matcher.FindAll(text, with_control))
    found.push_back(std::to_string(match.id) + ":" +
                    std::string(text.substr(match.begin, match.end - match.begin)));
  return found;
}

TEST(TokenMatcher, TakesTheLongestOfThoseThatStartAtOnePlace) {
  const TokenMatcher matcher({Make(1, "<a>"), Make(2, "<a>b"), Make(3, "<a"), Make(4, "bc")});
  EXPECT_THAT(Find(matcher, "x<a>bc<a>"), ElementsAre("2:<a>b", "1:<a>"));
  EXPECT_THAT(Find(matcher, "<a<a"), ElementsAre("3:<a", "3:<a"));
  EXPECT_THAT(Find(matcher, "<abc"), ElementsAre("3:<a", "4:bc"));
  EXPECT_THAT(Find(matcher, ""), ElementsAre());
  EXPECT_THAT(Find(matcher, "<"), ElementsAre());
}

TEST(TokenMatcher, LeavesControlTokensAloneUnlessAsked) {
  TokenMatcher::Token control = Make(1, "<a>b");
  control.is_control = true;
  const TokenMatcher matcher({control, Make(2, "<a>")});
  EXPECT_THAT(Find(matcher, "<a>b", true), ElementsAre("1:<a>b"));
  EXPECT_THAT(Find(matcher, "<a>b", false), ElementsAre("2:<a>"));
  EXPECT_TRUE(TokenMatcher({control}).IsAnyIn("x<a>b", true));
  EXPECT_FALSE(TokenMatcher({control}).IsAnyIn("x<a>b", false));
}

// Hugging Face tokenizers 0.23.3 on the same tokens and texts.
TEST(TokenMatcher, TakesWhiteSpaceAlong) {
  const TokenMatcher matcher({Make(1, "<m>", {.lstrip = true}), Make(2, "<n>", {.rstrip = true}),
                              Make(3, "<b>", {.lstrip = true, .rstrip = true})});
  EXPECT_THAT(Find(matcher, "a <m> a"), ElementsAre("1: <m>"));
  EXPECT_THAT(Find(matcher, "a <n> \n b"), ElementsAre("2:<n> \n "));
  EXPECT_THAT(Find(matcher, "a <n> <m> b"), ElementsAre("2:<n> ", "1:<m>"));
  EXPECT_THAT(Find(matcher, "a <b>  <b> b"), ElementsAre("3: <b>  ", "3:<b> "));
  EXPECT_THAT(Find(matcher, "a\u00a0\u3000<m>"), ElementsAre("1:\u00a0\u3000<m>"));
  EXPECT_THAT(Find(matcher, "\xa0<m>"), ElementsAre("1:<m>"));  // a byte that is no character is no space
}

TEST(TokenMatcher, FindsSingleWordsOnly) {
  const TokenMatcher matcher({Make(1, "ab", {.single_word = true})});
  EXPECT_THAT(Find(matcher, "ab xab ab"), ElementsAre("1:ab", "1:ab"));
  EXPECT_THAT(Find(matcher, "xab"), ElementsAre());
  EXPECT_THAT(Find(matcher, "ab_"), ElementsAre());
  EXPECT_THAT(Find(matcher, "ab-"), ElementsAre("1:ab"));
  EXPECT_THAT(Find(matcher, "\u00e9ab"), ElementsAre());
  EXPECT_THAT(Find(matcher, "ab\u0301"), ElementsAre());
}

TEST(TokenMatcher, DoesNotGoBackOverWhatIsTakenAlready) {
  const TokenMatcher matcher(
      {Make(1, "a", {.rstrip = true}), Make(2, " b"), Make(3, "\n", {.lstrip = true})});
  EXPECT_THAT(Find(matcher, "a b"), ElementsAre("1:a ", "2:b"));  // both count, as in Hugging Face's
  const std::string newlines(200000, '\n');                       // in the square this would take a minute
  EXPECT_EQ(matcher.FindAll(newlines, true).size(), newlines.size());
}

}  // namespace
}  // namespace forge::text
