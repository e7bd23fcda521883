// SPDX-License-Identifier: Apache-2.0
#include "io/json_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/config_file.h"

namespace forge::io {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& text, const JsonLimits& limits = {}) {
  try {
    ParseJson(text, "x.json", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), HasSubstr("x.json"));
    return error.what();
  }
  return "no error";
}

TEST(JsonFile, NamesThePlaceOfWhatIsNotJson) {
  EXPECT_THAT(ErrorOf("{\n\"a\": }"), HasSubstr("why: parse error at line 2, column 6: syntax error"));
  EXPECT_THAT(ErrorOf("{\"a\": }"), HasSubstr("why: parse error at column 7: syntax error"));
  EXPECT_THAT(ErrorOf("[1e999]"), HasSubstr("why: number overflow parsing '1e999'"));
  EXPECT_THAT(ErrorOf("\"open"), HasSubstr("cannot parse"));
  EXPECT_THAT(ErrorOf("\"a\\"), HasSubstr("cannot parse"));
}

TEST(JsonFile, RefusesWhatWouldFillMemoryOrTheStack) {
  EXPECT_THAT(ErrorOf(std::string(100'000, '[')), HasSubstr("at byte 128: values lie more than 128 deep"));
  EXPECT_THAT(ErrorOf("[1,2,3]", {.max_values = 2}), HasSubstr("more than 2 values"));
  EXPECT_EQ(ErrorOf("[1,2]", {.max_values = 3}), "no error");
  EXPECT_EQ(ErrorOf(R"(["a,[{\",,,,"])", {.max_values = 3, .max_depth = 1}), "no error");  // inside a text
  EXPECT_THAT(ErrorOf("[1,2]", {.max_bytes = 4}), HasSubstr("it has 5 bytes; at most 4"));
}

// Found by the fuzzer.
TEST(Yaml, RefusesTextThatIsNotUtf8) {
  EXPECT_THROW(ParseYaml("a: \"b\x84\"", "x.yaml"), Error);
  EXPECT_EQ(ParseYaml("a: \"b\xC3\xA4\"", "x.yaml")["a"], "b\xC3\xA4");
}

std::string YamlErrorOf(const std::string& text) {
  try {
    ParseYaml(text, "x.yaml");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// The first was found by the fuzzer.
TEST(Yaml, RefusesAnchorsThatFillTheStackOrMemory) {
  EXPECT_THAT(YamlErrorOf("a: &a [*a]"), HasSubstr("values lie more than 128 deep"));
  std::string laughs = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    laughs += fmt::format("- &a{} [", i);
    for (int j = 0; j < 10; ++j) laughs += fmt::format("{}*a{}", j == 0 ? "" : ", ", i - 1);
    laughs += "]\n";
  }
  EXPECT_THAT(YamlErrorOf(laughs), HasSubstr("it has more than 100000 values"));
  EXPECT_THAT(YamlErrorOf(std::string(100'000, '[')), HasSubstr("cannot parse x.yaml"));
  EXPECT_THAT(YamlErrorOf(std::string(5 << 20, 'x')), HasSubstr("it has 5242880 bytes; at most"));
  EXPECT_EQ(ParseYaml("a: &a [1, 2]\nb: *a", "x.yaml")["b"], Json({1, 2}));
}

TEST(Yaml, ReadsAllDocumentsOfAText) {
  const std::vector<Json> documents = ParseYamlDocuments("a: 1\n---\n- 2\n---\n", "x.yaml");
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0]["a"], 1);
  EXPECT_EQ(documents[1], Json({2}));
  EXPECT_TRUE(ParseYamlDocuments("", "x.yaml").empty());
  EXPECT_EQ(ParseYamlDocuments("%YAML 1.2\n--- {a: 1}\n...\n--- |\n --- b\n----\n", "x.yaml").size(), 2u);
  EXPECT_EQ(ParseYamlDocuments("a: 1\r\n---\r\nb: 2\r\n---", "x.yaml").size(), 2u);
}

TEST(Yaml, NamesTheLineOfAnErrorInALaterDocument) {
  try {
    ParseYamlDocuments("a: 1\n---\nb: 2\nc: [\n", "x.yaml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("error at line 5"));
  }
}

// Found by the fuzzer: YAML::LoadAll gives empty documents for ever.
TEST(Yaml, EndsForTextsThatAreNoYaml) {
  for (const char* text : {"]", "a: 1\n---\n]", "}", ",", "a\n]\n", "- b\n}", "&", "%", "? ]"}) {
    try {
      ParseYamlDocuments(text, "x.yaml");
    } catch (const Error&) {
    }
  }
}

TEST(Yaml, CountsTheValuesOfAllDocumentsTogether) {
  std::string document = "---\n[0";
  for (int i = 1; i < 9'999; ++i) document += ",0";
  document += "]\n";  // 10 000 values with the list
  std::string text;
  for (int i = 0; i < 10; ++i) text += document;
  EXPECT_EQ(ParseYamlDocuments(text, "x.yaml").size(), 10u);
  EXPECT_THROW(ParseYamlDocuments(text + "---\n0", "x.yaml"), Error);
  EXPECT_THROW(ParseYamlDocuments("a: 1\n---\n!code x", "x.yaml"), Error);
}

}  // namespace
}  // namespace forge::io
