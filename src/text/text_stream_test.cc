// SPDX-License-Identifier: Apache-2.0
#include "text/text_stream.h"

#include <gtest/gtest.h>

namespace forge::text {
namespace {

/// The text that a stream shows of [0, first), [first, second) and the rest.
std::string Show(TextStream& stream, const std::string& text, std::size_t first, std::size_t second) {
  std::string shown = stream.Add(text.substr(0, first));
  shown += stream.Add(text.substr(first, second - first));
  shown += stream.Add(text.substr(second));
  return shown + stream.Finish();
}

TEST(TextStream, HoldsBackACharacterUntilItsLastByte) {
  TextStream stream;
  EXPECT_EQ(stream.Add("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.Add("\x98"), "");
  EXPECT_EQ(stream.Add("\x80z"), "\xF0\x9F\x98\x80z");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(TextStream, ShowsWhatIsNoUtf8AsReplacementCharacters) {
  TextStream stream;
  EXPECT_EQ(stream.Add("\xFFx\xC3"), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.Add("y"), "\xEF\xBF\xBDy");  // C3 was no start of a character after all
  EXPECT_EQ(stream.Add("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate half
  EXPECT_EQ(stream.Add("\xE2\x82"), "");
  EXPECT_EQ(stream.Finish(), "\xEF\xBF\xBD");
}

TEST(TextStream, EndsBeforeTheStopTextHoweverItIsCutIntoTokens) {
  const std::string text = "one\nUsUser: two";
  for (std::size_t first = 0; first <= text.size(); ++first)
    for (std::size_t second = first; second <= text.size(); ++second) {
      TextStream stream({"\nUser:"});
      EXPECT_EQ(Show(stream, text, first, second), text);
      EXPECT_FALSE(stream.stopped());
      TextStream stops({"sUser:"});
      EXPECT_EQ(Show(stops, text, first, second), "one\nU") << first << " " << second;
      EXPECT_TRUE(stops.stopped());
    }
}

TEST(TextStream, EndsBeforeTheStopTextThatIsCompleteFirst) {
  const std::string text = "xabcd";
  for (std::size_t first = 0; first <= text.size(); ++first)
    for (std::size_t second = first; second <= text.size(); ++second) {
      TextStream earlier_end({"abcd", "bc"});
      EXPECT_EQ(Show(earlier_end, text, first, second), "xa") << first << " " << second;
      TextStream same_end({"c", "abc"});
      EXPECT_EQ(Show(same_end, text, first, second), "x") << first << " " << second;
      TextStream none({"abd", "cda"});
      EXPECT_EQ(Show(none, text, first, second), text);
    }
}

TEST(TextStream, CountsTheBytesThatItShowed) {
  TextStream stream({"stop"});
  stream.Add("\xFF one st");
  EXPECT_EQ(stream.shown_bytes(), 6u);
  stream.Add("opped");
  EXPECT_EQ(stream.shown_bytes(), 6u);
  TextStream whole({"stop"});
  whole.Add("a st\xC3");
  whole.Finish();
  EXPECT_EQ(whole.shown_bytes(), 5u);
}

TEST(TextStream, EndsInTheMiddleOfACharacterOnlyWithAWholeOne) {
  TextStream stream({"\xA9"});  // the second byte of é
  EXPECT_EQ(stream.Add("\xC3\xA9x"), "\xEF\xBF\xBD");
  EXPECT_TRUE(stream.stopped());
}

}  // namespace
}  // namespace forge::text
