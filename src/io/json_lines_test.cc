// SPDX-License-Identifier: Apache-2.0
#include "io/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <sstream>

#include "base/error.h"

namespace forge::io {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kForm = "{\"a\": ..}";

/// Number and text of the field a of every line.
std::vector<std::pair<std::size_t, std::string>> ReadAll(const std::string& text) {
  std::istringstream stream(text);
  JsonLines lines(stream, "x.jsonl", kForm);
  std::vector<std::pair<std::size_t, std::string>> all;
  while (lines.Next()) all.emplace_back(lines.number(), lines.Text("a"));
  EXPECT_FALSE(lines.Next());  // the end stays the end
  return all;
}

std::string ErrorOf(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    return error.what();
  }
  return "no error";
}
std::string ErrorOf(const std::string& text) {
  return ErrorOf([&] { ReadAll(text); });
}
/// Of the last line, the third, when its field a is read so.
std::string FieldError(const std::string& value, const std::function<void(const JsonLines&)>& read) {
  std::istringstream stream("{\"a\": \"x\"}\n\n{\"b\": 1" + (value.empty() ? "" : ", \"a\": " + value) + "}");
  JsonLines lines(stream, "x.jsonl", kForm);
  return ErrorOf([&] {
    while (lines.Next())
      if (lines.number() == 3) read(lines);
  });
}

TEST(JsonLines, AreNumberedAsAnEditorNumbersThem) {
  EXPECT_THAT(ReadAll("{\"a\": \"x\"}\n{\"a\": \"y\"}\n"), ElementsAre(Pair(1, "x"), Pair(2, "y")));
  EXPECT_THAT(ReadAll("\n \t\n{\"a\": \"x\"}\n\n{\"a\": \"y\"}\n\n"),
              ElementsAre(Pair(3, "x"), Pair(5, "y")));
}

TEST(JsonLines, MayEndWithCarriageReturnsOrWithoutALineEnd) {
  EXPECT_THAT(ReadAll("{\"a\": \"x\"}\r\n\r\n{\"a\": \"y\\r\"}\r\n"),
              ElementsAre(Pair(1, "x"), Pair(3, "y\r")));
  EXPECT_THAT(ReadAll("{\"a\": \"x\"}\n{\"a\": \"y\"}"), ElementsAre(Pair(1, "x"), Pair(2, "y")));
}

TEST(JsonLines, OfAnEmptyFileAreNone) {
  for (const char* text : {"", "\n", "\r\n\r\n", "  ", "\xEF\xBB\xBF", "\xEF\xBB\xBF\n"})
    EXPECT_TRUE(ReadAll(text).empty()) << text;
}

TEST(JsonLines, MayBeginWithAByteOrderMark) {
  EXPECT_THAT(ReadAll("\xEF\xBB\xBF{\"a\": \"x\"}\n{\"a\": \"y\"}\n"),
              ElementsAre(Pair(1, "x"), Pair(2, "y")));
  EXPECT_THAT(ReadAll("\xEF\xBB\xBF\n{\"a\": \"x\"}\n"), ElementsAre(Pair(2, "x")));
  EXPECT_THAT(ErrorOf("{\"a\": \"x\"}\n\xEF\xBB{\"a\": \"y\"}\n"), HasSubstr("cannot use line 2 of x.jsonl"));
}

// Around the sizes of the pieces in which the file is read.
TEST(JsonLines, MayHaveAnyLength) {
  for (const std::size_t length : {16'370u, 16'374u, 16'375u, 16'376u, 32'757u, 32'758u, 32'759u, 1'000'000u})
    for (const char* end : {"", "\n"}) {
      const std::string text(length, 'x');
      const auto all = ReadAll("{\"a\":\"" + text + "\"}\n{\"a\":\"" + text + "\"}" + end);
      ASSERT_EQ(all.size(), 2u) << length;
      EXPECT_EQ(all[0].second, text);
      EXPECT_EQ(all[1].second, text);
    }
}

TEST(JsonLines, ThatAreCutAreRefusedWithTheirNumber) {
  EXPECT_THAT(ErrorOf("{\"a\": \"x\"}\n\n{\"a\": \"y"),
              AllOf(HasSubstr("cannot use line 3 of x.jsonl"), HasSubstr("column 9: syntax error"),
                    HasSubstr("missing closing quote"), HasSubstr("each line must be {\"a\": ..}")));
  EXPECT_THAT(ErrorOf("{\"a\": \"x\"\n}\n"), HasSubstr("cannot use line 1 of x.jsonl"));
  EXPECT_THAT(ErrorOf("{\"a\": \"x\"} {\"a\": \"y\"}\n"), HasSubstr("cannot use line 1 of x.jsonl"));
  EXPECT_THAT(ErrorOf("{\"a\": \"\xC3\"}\n"), HasSubstr("ill-formed UTF-8"));
}

TEST(JsonLines, ThatAreNoObjectAreRefused) {
  EXPECT_THAT(ErrorOf("{\"a\": \"x\"}\n[\"a\"]\n"),
              AllOf(HasSubstr("cannot use line 2 of x.jsonl"), HasSubstr("no object, but [\"a\"]")));
  for (const char* text : {"null", "1", "\"a\"", "true"}) EXPECT_THAT(ErrorOf(text), HasSubstr("no object"));
}

TEST(JsonLines, NameTheFieldThatIsMissingOrOfAnotherType) {
  const auto text = [](const JsonLines& line) { line.Text("a"); };
  const auto filled = [](const JsonLines& line) { line.FilledText("a"); };
  const auto texts = [](const JsonLines& line) { line.Texts("a"); };
  const auto integers = [](const JsonLines& line) { line.Integers("a"); };
  for (const auto& read : std::vector<std::function<void(const JsonLines&)>>{text, filled, texts, integers})
    EXPECT_THAT(FieldError("", read),
                AllOf(HasSubstr("cannot use line 3 of x.jsonl"), HasSubstr("the field \"a\" is missing"),
                      HasSubstr("each line must be {\"a\": ..}")));
  EXPECT_THAT(FieldError("5", text), HasSubstr("\"a\" is no text, but 5"));
  EXPECT_THAT(FieldError("null", filled), HasSubstr("\"a\" is no text, but null"));
  EXPECT_EQ(FieldError("\"\"", text), "no error");
  EXPECT_THAT(FieldError("\"\"", filled), HasSubstr("\"a\" is empty"));
  EXPECT_THAT(FieldError("\"x\"", texts), HasSubstr("\"a\" is no array, but \"x\""));
  EXPECT_THAT(FieldError("[\"x\", 1]", texts), HasSubstr("the entry 1, which is no text"));
  EXPECT_THAT(FieldError("{}", integers), HasSubstr("\"a\" is no array, but {}"));
  for (const char* entry : {"1.5", "2147483648", "-2147483649", "\"1\"", "1e3"})
    EXPECT_THAT(FieldError(std::string("[1, ") + entry + "]", integers), HasSubstr("no whole number"));
  EXPECT_THAT(FieldError("[" + std::string(100, '[') + std::string(100, ']') + "]", text), HasSubstr("[[.."));
}

TEST(JsonLines, GiveTheTypesThatWereAskedFor) {
  std::istringstream stream(R"({"ids": [-2147483648, 2147483647], "texts": ["", "x"], "text": ""})");
  JsonLines lines(stream, "x.jsonl", kForm);
  ASSERT_TRUE(lines.Next());
  EXPECT_THAT(lines.Integers("ids"), ElementsAre(-2147483647 - 1, 2147483647));
  EXPECT_THAT(lines.Texts("texts"), ElementsAre("", "x"));
  EXPECT_TRUE(lines.Has("text"));
  EXPECT_FALSE(lines.Has("other"));
}

TEST(JsonLines, OfAFileThatCannotBeReadAreRefused) {
  const fs::path folder = fs::temp_directory_path() / ("forge_json_lines_" + std::to_string(getpid()));
  fs::create_directories(folder);
  EXPECT_THAT(ErrorOf([&] { JsonLines(folder / "none.jsonl", kForm); }),
              AllOf(HasSubstr("none.jsonl"), HasSubstr("there is no such file")));
  EXPECT_THAT(ErrorOf([&] { JsonLines(folder, kForm); }), HasSubstr("it is a folder"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace forge::io
