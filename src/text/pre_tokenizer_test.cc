// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer_data.h"

namespace forge::text {
namespace {

using ::testing::ElementsAre;

TEST(PreTokenizer, CutsAsGpt2Does) {
  const PreTokenizer cut({kGpt2Pattern}, "x");
  EXPECT_THAT(cut.Split("I've  12 cats!\n\n"), ElementsAre("I", "'ve", " ", " 12", " cats", "!", "\n\n"));
  EXPECT_THAT(cut.Split("\u00e9t\u00e9 \u4e16\u754c"), ElementsAre("\u00e9t\u00e9", " \u4e16\u754c"));
  EXPECT_THAT(cut.Split(""), ElementsAre());
}

TEST(PreTokenizer, AppliesEachPatternInsideThePiecesOfTheLast) {
  const PreTokenizer cut({kDigitPattern, kGpt2Pattern}, "x");
  EXPECT_THAT(cut.Split("a  12"), ElementsAre("a", "  ", "1", "2"));
}

TEST(PreTokenizer, CutsAsQwen2AndLlama3Do) {
  EXPECT_THAT(PreTokenizer({kQwen2Pattern}, "x").Split("It'S 2024\r\n .x"),
              ElementsAre("It", "'S", " ", "2", "0", "2", "4", "\r\n", " .", "x"));
  EXPECT_THAT(PreTokenizer({kLlama3Pattern}, "x").Split("20245"), ElementsAre("202", "45"));
}

// PCRE2's own \s would take U+180E for a space; Oniguruma and Unicode do not.
TEST(PreTokenizer, KnowsTheSpacesOfUnicode) {
  const PreTokenizer cut({kGpt2Pattern}, "x");
  EXPECT_THAT(cut.Split("a\u2003\u2003b"), ElementsAre("a", "\u2003", "\u2003", "b"));
  EXPECT_THAT(cut.Split("!\u180e!"), ElementsAre("!\u180e!"));
}

TEST(PreTokenizer, KeepsEveryByteOfTextThatIsNotUtf8) {
  const PreTokenizer cut({kGpt2Pattern}, "x");
  for (const std::string text : {"a\xff\xfe b", "\xc3", "\xe4\xb8", "ab\x80"}) {
    std::string joined;
    for (const std::string_view piece : cut.Split(text)) joined += piece;
    EXPECT_EQ(joined, text);
  }
}

TEST(PreTokenizer, RefusesAPatternThatDoesNotCompile) { EXPECT_THROW(PreTokenizer({"(a"}, "x"), Error); }

}  // namespace
}  // namespace forge::text
