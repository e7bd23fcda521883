// SPDX-License-Identifier: Apache-2.0
#include "eval/pattern.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace forge::eval {
namespace {

using ::testing::ElementsAre;

// What Python 3.11 prints for re.findall and re.sub.
TEST(Pattern, FindsWhatPythonFinds) {
  EXPECT_THAT(Pattern("[0-9]+", "x").FindAll("a1b22"), ElementsAre(ElementsAre("1"), ElementsAre("22")));
  EXPECT_THAT(Pattern("(-?[$0-9.,]{2,})|(-?[0-9]+)", "x").FindAll("it is 5, or $1,2."),
              ElementsAre(ElementsAre("5,", ""), ElementsAre("$1,2.", "")));
  EXPECT_THAT(Pattern("(a)|(b)", "x").FindAll("ba"), ElementsAre(ElementsAre("", "b"), ElementsAre("a", "")));
  EXPECT_THAT(Pattern("x*", "x").FindAll("axb"),
              ElementsAre(ElementsAre(""), ElementsAre("x"), ElementsAre(""), ElementsAre("")));
  EXPECT_THAT(Pattern("a$", "x").FindAll("a\n"), ElementsAre(ElementsAre("a")));
  EXPECT_THAT(Pattern("q", "x").FindAll(""), ElementsAre());
  EXPECT_THAT(Pattern("b", "x").Places("abcb"), ElementsAre(1, 3));
}

TEST(Pattern, ReplacesAsPythonDoes) {
  EXPECT_EQ(Pattern("(?s).*#### ", "x").Replace("one\ntwo\n#### 18", ""), "18");
  EXPECT_EQ(Pattern("\\[.*?\\]", "x").Replace("a [step] b [x]", ""), "a  b ");
  EXPECT_EQ(Pattern("\\(\\s*([^\\)]*?)\\s*\\)", "x").Replace("f ( a b ) g", "(\\1)"), "f (a b) g");
  EXPECT_EQ(Pattern("(b)", "x").Replace("abab", "<\\g<1>>", 1), "a<b>ab");
  EXPECT_EQ(Pattern("x*", "x").Replace("abc", "-"), "-a-b-c-");
  EXPECT_EQ(Pattern("a", "x").Replace("", "-"), "");
}

TEST(Pattern, SaysWhereAnExpressionIsWrong) {
  try {
    Pattern("a(", "filter_list of t");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fields().what, "cannot use the regular expression in filter_list of t");
  }
}

TEST(Pattern, TakesTextThatEndsInsideACharacter) {
  EXPECT_THAT(Pattern("[0-9]+", "x").FindAll("7 \xe2\x82"), ElementsAre(ElementsAre("7")));
}

}  // namespace
}  // namespace forge::eval
