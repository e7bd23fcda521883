// SPDX-License-Identifier: Apache-2.0
#include "text/normalizer.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>

#include "base/philox.h"
#include "text/utf8.h"

namespace forge::text {
namespace {

std::string Nfc(std::string_view text) {
  std::string buffer;
  return std::string(NormalizeNfc(text, buffer));
}

/// NFC of the whole text by utf8proc.
std::string NfcInOne(const std::string& text) {
  utf8proc_uint8_t* result = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  const std::string nfc(reinterpret_cast<const char*>(result));
  std::free(result);
  return nfc;
}

TEST(NormalizeNfc, ComposesAndReordersMarks) {
  EXPECT_EQ(Nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(Nfc("xe\u0301y"), "x\u00e9y");
  EXPECT_EQ(Nfc("\u00e9\u0323"), "\u1eb9\u0301");  // dot below goes first: e + 0323 composes
  EXPECT_EQ(Nfc("\u1100\u1161\u11a8"), "\uac01");  // Hangul jamo
  EXPECT_EQ(Nfc("\uac00\u11a8"), "\uac01");        // a syllable and a final consonant
  EXPECT_EQ(Nfc("\u212b \u2126 \u0958"), "\u00c5 \u03a9 \u0915\u093c");  // singletons, an exclusion
}

TEST(NormalizeNfc, GivesBackTheTextItselfWhenThereIsNothingToDo) {
  const std::string_view text = "plain \u00e9t\u00e9 \u4e16\u754c \uac01 \U0001f600";
  std::string buffer;
  EXPECT_EQ(NormalizeNfc(text, buffer).data(), text.data());
  EXPECT_EQ(Nfc(""), "");
}

TEST(NormalizeNfc, LeavesBytesThatAreNoUtf8WhereTheyAre) {
  EXPECT_EQ(Nfc("e\u0301\xff"
                "e\u0301\xe2\x82"),
            "\u00e9\xff\u00e9\xe2\x82");
  EXPECT_EQ(Nfc("\xff\u0301"), "\xff\u0301");
}

TEST(NormalizeNfc, EqualsUtf8procOnTheWholeText) {
  const char32_t starts[] = {'a',    0xe0,   0x300,  0x370,  0x591,  0x900,   0x9be,   0xb56,
                             0xf71,  0x1026, 0x1100, 0x1160, 0x11a0, 0x1b05,  0x1e00,  0x1f00,
                             0x2126, 0x3040, 0xac00, 0xf900, 0xfb1d, 0x11099, 0x1d15e, 0x2f800};
  Random random(1, "normalizer_test");
  for (int trial = 0; trial < 30000; ++trial) {
    std::string text;
    for (std::size_t i = random.Below(10); i > 0; --i)
      AppendUtf8(starts[random.Below(std::size(starts))] + static_cast<char32_t>(random.Below(48)), text);
    ASSERT_EQ(Nfc(text), NfcInOne(text)) << text;
  }
}

TEST(NormalizeNfc, SortsManyMarksAsUtf8procDoes) {
  std::string text = "a";
  Random random(2, "normalizer_test");
  for (int i = 0; i < 300; ++i) text += random.Below(2) == 0 ? "\u0301" : "\u0323";
  EXPECT_EQ(Nfc(text), NfcInOne(text));
  // In the square of their number these would take minutes.
  for (int i = 0; i < 300000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  EXPECT_EQ(Nfc(text).substr(0, 3), "\u1ea1");
}

TEST(CollapseSpaces, LeavesOneSpaceOfEachRunAndNoneAtTheEnds) {
  EXPECT_EQ(CollapseSpaces("  a  b \t c  "), "a b \t c");
  EXPECT_EQ(CollapseSpaces("   "), "");
  EXPECT_EQ(CollapseSpaces("a \u2581 \u2581"), "a");  // SentencePiece strips the sign at the end, too
  EXPECT_EQ(CollapseSpaces("\u2581 a"), "\u2581 a");
}

TEST(SpellSpaces, WritesTheSignForASpaceAndInFront) {
  EXPECT_EQ(SpellSpaces("a  b", false), "a\u2581\u2581b");
  EXPECT_EQ(SpellSpaces(" a", true), "\u2581\u2581a");
  EXPECT_EQ(SpellSpaces("", true), "");
}

}  // namespace
}  // namespace forge::text
