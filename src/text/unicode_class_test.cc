// SPDX-License-Identifier: Apache-2.0
#include "text/unicode_class.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

namespace forge::text {
namespace {

CharacterClass ClassByUtf8proc(char32_t code) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return CharacterClass::kLetter;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return CharacterClass::kNumber;
  const bool control_space = (code >= 9 && code <= 13) || code == 0x85;
  if (control_space || (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP))
    return CharacterClass::kSpace;
  return CharacterClass::kOther;
}

// Another version of Unicode only adds characters, so the tables agree where utf8proc has one.
TEST(UnicodeClasses, AgreeWithUtf8procOnEveryCharacterItKnows) {
  for (char32_t code = 0; code < 0x110000; ++code)
    if (utf8proc_category(static_cast<utf8proc_int32_t>(code)) != UTF8PROC_CATEGORY_CN) {
      ASSERT_EQ(UnicodeClasses::Get().Of(code), ClassByUtf8proc(code))
          << "U+" << std::hex << static_cast<unsigned>(code);
    }
}

// Counted by Hugging Face tokenizers 0.23.3: a Split by \p{L}, \p{N} and \s over all code points.
TEST(UnicodeClasses, HaveAsManyMembersAsInHuggingFaceTokenizers) {
  int letters = 0, numbers = 0, spaces = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    const CharacterClass character_class = UnicodeClasses::Get().Of(code);
    letters += character_class == CharacterClass::kLetter;
    numbers += character_class == CharacterClass::kNumber;
    spaces += character_class == CharacterClass::kSpace;
  }
  EXPECT_EQ(letters, 141028);
  EXPECT_EQ(numbers, 1911);
  EXPECT_EQ(spaces, 25);
}

TEST(UnicodeClasses, TellBytesThatAreNoCharacter) {
  std::size_t length = 0;
  EXPECT_EQ(UnicodeClasses::Get().At("a\xff", 1, length), CharacterClass::kInvalid);
  EXPECT_EQ(length, 1u);
  EXPECT_EQ(UnicodeClasses::Get().At("a\u00e9", 1, length), CharacterClass::kLetter);
  EXPECT_EQ(length, 2u);
}

TEST(IsWordCharacter, KnowsLettersMarksDigitsAndConnectors) {
  for (const char32_t code : {U'a', U'\u00e9', U'_', U'7', U'\u0301', U'\u24b6', U'\u200d', U'\u2167'})
    EXPECT_TRUE(IsWordCharacter(code)) << static_cast<unsigned>(code);
  for (const char32_t code : {U'-', U' ', U'\u00bd', U'.', U'\u2028'})
    EXPECT_FALSE(IsWordCharacter(code)) << static_cast<unsigned>(code);
}

}  // namespace
}  // namespace forge::text
