// SPDX-License-Identifier: Apache-2.0
#include "text/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/philox.h"
#include "io/json_file.h"
#include "text/utf8.h"

namespace forge::text {
namespace {

using ::testing::HasSubstr;

std::string Read(std::string_view json, JsonBytes bytes = JsonBytes::kAny) {
  std::size_t position = 0;
  std::string_view text;
  std::string buffer;
  if (const auto problem = ReadJsonString(json, position, bytes, text, buffer))
    return std::to_string(problem->offset) + " " + problem->what;
  EXPECT_EQ(position, json.size());
  return "=" + std::string(text);
}

TEST(JsonText, ReadsEveryEscape) {
  EXPECT_EQ(Read(R"("a\"\\\/\b\f\n\r\tz")"), "=a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(Read(R"("\u0041\u00e9\u4E16\ud83d\ude00")"), "=A\u00e9\u4e16\U0001f600");
  EXPECT_EQ(Read("\"\u00e9\""), "=\u00e9");
  EXPECT_EQ(Read("\"\""), "=");
}

TEST(JsonText, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(Read("x"), HasSubstr("0 here should be a string"));
  EXPECT_THAT(Read("\"ab"), HasSubstr("0 the string does not end"));
  EXPECT_THAT(Read("\"a\\"), HasSubstr("2 the string does not end"));
  EXPECT_THAT(Read("\"a\\q\""), HasSubstr("2 there is no such escape"));
  EXPECT_THAT(Read("\"\\u12g4\""), HasSubstr("1 there is no such escape"));
  EXPECT_THAT(Read("\"\\u12"), HasSubstr("1 there is no such escape"));
  EXPECT_THAT(Read("\"a\nb\""), HasSubstr("2 a control character"));
  EXPECT_THAT(Read("\"a\xff\"", JsonBytes::kStrict), HasSubstr("2 a byte that is not UTF-8"));
  EXPECT_THAT(Read(R"("\ud800x")", JsonBytes::kStrict), HasSubstr("1 half a surrogate pair"));
}

// Python: json.dumps(b"a\xff".decode("utf-8", "surrogateescape")) is "a\udcff".
TEST(JsonText, KeepsBytesThatAreNoUtf8) {
  EXPECT_EQ(Read("\"a\xff\""), "=a\xff");
  EXPECT_EQ(Read(R"("a\udcff")"), "=a\xff");
  EXPECT_EQ(Read(R"("\ud800")"), "=\xed\xa0\x80");
  std::string json;
  AppendJsonString("a\xff\u00e9\xe2\x82", json);
  EXPECT_EQ(json, "\"a\\udcff\u00e9\\udce2\\udc82\"");
}

TEST(JsonText, WritesOneLineWhateverEndsOne) {
  std::string json;
  AppendJsonString("\n\r\v\f\x1c\u0085\u2028\u2029", json);
  EXPECT_EQ(json, R"("\n\r\u000b\u000c\u001c\u0085\u2028\u2029")");
}

TEST(JsonText, GivesBackAnyBytes) {
  Random random(1, "json_text_test");
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bytes, json;
    for (std::size_t i = random.Below(30); i > 0; --i) {
      if (random.Below(2) == 0)
        bytes += static_cast<char>(random.Below(256));
      else
        AppendUtf8(static_cast<char32_t>(random.Below(0x110000)), bytes);
    }
    AppendJsonString(bytes, json);
    ASSERT_EQ(Read(json), "=" + bytes) << json;
    ASSERT_TRUE(IsUtf8(json));
    if (IsUtf8(bytes)) {
      ASSERT_EQ(io::Json::parse(json).get<std::string>(), bytes);
    }
  }
}

TEST(JsonText, ReadsIntegers) {
  std::size_t position = 1;
  long long value = 0;
  EXPECT_FALSE(ReadJsonInteger("[-12,", position, value));
  EXPECT_EQ(value, -12);
  EXPECT_EQ(position, 4u);
  position = 0;
  EXPECT_THAT(ReadJsonInteger("99999999999999999999", position, value)->what, HasSubstr("too large"));
  EXPECT_THAT(ReadJsonInteger("x", position, value)->what, HasSubstr("an integer"));
}

}  // namespace
}  // namespace forge::text
