// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.h"

#include <gtest/gtest.h>

namespace forge::text {
namespace {

TEST(Utf8, ReadsEveryCharacterBackAndNoSurrogate) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    std::string text;
    AppendUtf8(code, text);
    const Utf8Character next = DecodeUtf8(text + "x");
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    ASSERT_EQ(next.valid, !surrogate) << static_cast<unsigned>(code);
    ASSERT_EQ(IsUtf8(text), !surrogate) << static_cast<unsigned>(code);
    if (surrogate) continue;
    ASSERT_TRUE(next.code == code);
    ASSERT_EQ(next.length, text.size());
  }
}

// Unicode 16, table 3-7 and the examples of section 3.9 (U+FFFD substitution of maximal subparts).
TEST(Utf8, MeasuresWhatIsNoCharacter) {
  struct Case {
    std::string_view bytes;
    std::size_t length;
    bool incomplete;
  };
  const Case cases[] = {
      {"\x80", 1, false},         {"\xff", 1, false},          {"\xc0\xaf", 1, false},
      {"\xc1\xbf", 1, false},     {"\xe0\x80\xaf", 1, false},  // overlong
      {"\xed\xa0\x80", 1, false},                              // surrogate
      {"\xf4\x91\x92", 1, false}, {"\xf5\x80", 1, false},      // above U+10FFFF
      {"\xe2\x82x", 2, false},    {"\xf0\x9f\x98x", 3, false}, {"\xe2", 1, true},
      {"\xe2\x82", 2, true},      {"\xf0\x9f\x98", 3, true},   {"\xc3", 1, true},
  };
  for (const Case& one : cases) {
    const Utf8Character next = DecodeUtf8(one.bytes);
    EXPECT_FALSE(next.valid) << one.bytes;
    EXPECT_EQ(next.length, one.length) << one.bytes;
    EXPECT_EQ(next.incomplete, one.incomplete) << one.bytes;
  }
}

}  // namespace
}  // namespace forge::text
