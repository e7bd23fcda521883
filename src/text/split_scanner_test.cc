// SPDX-License-Identifier: Apache-2.0
#include "text/split_scanner.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <array>

#include "base/philox.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_data.h"
#include "text/unicode_class.h"

namespace forge::text {
namespace {

const std::vector<std::vector<std::string>> kKnown = {
    {kGpt2Pattern}, {kDigitPattern, kGpt2Pattern}, {kQwen2Pattern}, {kLlama3Pattern}};

/// A piece of text of the kinds that the patterns tell apart. Characters are of Unicode 14 at most, the
/// version of Debian's PCRE2.
std::string RandomPart(Random& random) {
  static const std::vector<std::string> parts = {" ",       " ",      "  ",       "\n",
                                                 "\r\n",    "\t",     "\u00a0",   "\u2003",
                                                 "\u0085",  "\u180e", "a",        "Z",
                                                 "word",    "é",      "ß",        "7",
                                                 "42",      "½",      "Ⅷ",        "९",
                                                 "世界",    "ק",      "\u0301",   "!",
                                                 "?!",      "_",      "€",        "😀",
                                                 "'",       "'s",     "'S",       "'t",
                                                 "'re",     "'VE",    "'m",       "'ll",
                                                 "'lL",     "'d",     "'ſ",       "ſ",
                                                 "''",      "K",      "\v",       "\f",
                                                 "\x01",    "\x7f",   "ﬆ",        "ǅ",
                                                 "\xff",    "\xc3",   "\xe4\xb8", "\xed\xa0\x80",
                                                 "\x80\x80"};
  return parts[random.Below(parts.size())];
}

TEST(SplitScanner, CutsAsPcre2DoesOnRandomText) {
  Random random(1, "split_scanner_test");
  for (const std::vector<std::string>& patterns : kKnown) {
    ASSERT_NE(FindScanner(patterns), nullptr);
    const PreTokenizer fast(patterns, "x"), slow(patterns, "x", PreTokenizer::Engine::kPcre2);
    for (int trial = 0; trial < 20000; ++trial) {
      std::string text;
      for (std::size_t i = random.Below(12); i > 0; --i) text += RandomPart(random);
      ASSERT_EQ(fast.Split(text), slow.Split(text)) << patterns.back() << "\n" << text;
    }
  }
}

TEST(SplitScanner, IsNotThereForOtherPatterns) {
  EXPECT_EQ(FindScanner({}), nullptr);
  EXPECT_EQ(FindScanner({kGpt2Pattern, kDigitPattern}), nullptr);
  EXPECT_EQ(FindScanner({R"(\s+)"}), nullptr);
}

TEST(SplitScanner, KeepsDigitsTogetherAsThePatternSays) {
  const auto first = [](const std::vector<std::string>& patterns, std::string_view text) {
    return text.substr(0, FindScanner(patterns)(text, 0));
  };
  EXPECT_EQ(first({kGpt2Pattern}, "12345 "), "12345");
  EXPECT_EQ(first({kDigitPattern, kGpt2Pattern}, "12345 "), "1");
  EXPECT_EQ(first({kQwen2Pattern}, "12345 "), "1");
  EXPECT_EQ(first({kLlama3Pattern}, "12345 "), "123");
}

// Unicode 16 has letters that PCRE2 does not know yet; Hugging Face tokenizers does.
TEST(SplitScanner, TakesTheLettersOfUnicode16) {
  EXPECT_EQ(FindScanner({kGpt2Pattern})("a\U00016100!", 0), 5u);
}

}  // namespace
}  // namespace forge::text
