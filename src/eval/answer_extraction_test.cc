// SPDX-License-Identifier: Apache-2.0
#include "eval/answer_extraction.h"

#include <gtest/gtest.h>

namespace forge::eval {
namespace {

ExtractedAnswer Extract(const std::string& task, std::size_t filter, const std::string& text) {
  return ExtractAnswer(BuiltInTask(task).filters.at(filter), text);
}

// Answers as lm_eval 0.4.13 extracts and compares them with the same patterns.
TEST(AnswerExtraction, IsStrictAndLenientForGsm8k) {
  const struct {
    const char *text, *strict, *lenient;
  } cases[] = {
      {" She has 3 + 4 = 7.\n#### 7", "7", "7"},
      {" #### 1,234 and #### 5", "1,234", "5"},
      {" The answer is $18.", "[invalid]", "$18."},
      {" -5 degrees", "[invalid]", "-5"},
      {" It costs 3, then 40 dollars.", "[invalid]", "40"},
      {" no number", "[invalid]", "[invalid]"},
      {"", "[invalid]", "[invalid]"},
      {" #### -3.5\n", "-3.5", "-3.5"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Extract("gsm8k", 0, c.text).text, c.strict) << c.text;
    EXPECT_EQ(Extract("gsm8k", 1, c.text).text, c.lenient) << c.text;
    EXPECT_EQ(Extract("gsm8k", 0, c.text).is_parsed, std::string(c.strict) != "[invalid]");
  }
}

TEST(AnswerExtraction, ComparesWithoutWhatTheMetricIgnores) {
  const TaskMetric gsm8k = BuiltInTask("gsm8k").metrics.at(0);
  EXPECT_TRUE(IsExactMatch(gsm8k, "$18.", "A long way.\n#### 18"));
  EXPECT_TRUE(IsExactMatch(gsm8k, "1,234", "#### 1234"));
  EXPECT_FALSE(IsExactMatch(gsm8k, "18.0", "#### 18"));
  EXPECT_FALSE(IsExactMatch(gsm8k, "[invalid]", "#### 18"));
  TaskMetric metric{.name = "exact_match", .regexes_to_ignore = {}};
  EXPECT_FALSE(IsExactMatch(metric, "Ab.", "ab"));
  metric.ignore_case = true;
  EXPECT_FALSE(IsExactMatch(metric, "Ab.", "ab"));
  metric.ignore_punctuation = true;
  EXPECT_TRUE(IsExactMatch(metric, "Ab.", "ab"));
  metric.ignore_numbers = true;
  EXPECT_TRUE(IsExactMatch(metric, "Ab1", "ab2"));
}

TEST(AnswerExtraction, KnowsNumbersInEverySpelling) {
  EXPECT_TRUE(IsSameNumber("$1,000.", "1000.0"));
  EXPECT_TRUE(IsSameNumber(" 51", "51.0"));
  EXPECT_TRUE(IsSameNumber("+3", "3"));
  EXPECT_TRUE(IsSameNumber("0.3333333", "0.33333333"));
  EXPECT_FALSE(IsSameNumber("0.33", "0.3333"));
  EXPECT_FALSE(IsSameNumber("", "0"));
  EXPECT_FALSE(IsSameNumber("three", "3"));
  EXPECT_FALSE(IsSameNumber("inf", "inf"));
}

TEST(AnswerExtraction, FindsTheLastBox) {
  EXPECT_EQ(LastBoxed("so \\boxed{1} and \\boxed{\\frac{1}{2}}."), "\\frac{1}{2}");
  EXPECT_EQ(LastBoxed("\\fbox{3}"), "3");
  EXPECT_EQ(LastBoxed("$\\boxed 7$."), "7");
  EXPECT_EQ(LastBoxed("\\boxed{open"), std::nullopt);
  EXPECT_EQ(LastBoxed("none"), std::nullopt);
}

TEST(AnswerExtraction, TakesTheFirstCodeBlock) {
  const AnswerFilter filter{"none", {{.function = "code_block", .regex = {}}}};
  EXPECT_EQ(ExtractAnswer(filter, "Here:\n```python\nx = 1\n```\nDone").text, "x = 1\n");
  EXPECT_EQ(ExtractAnswer(filter, "```\nx = 1").text, "x = 1");
  EXPECT_EQ(ExtractAnswer(filter, "x = 1").text, "x = 1");
}

}  // namespace
}  // namespace forge::eval
