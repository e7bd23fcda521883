// SPDX-License-Identifier: Apache-2.0
#include "eval/python_literal.h"

#include <gtest/gtest.h>

namespace forge::eval {
namespace {

std::string Read(const std::string& text) {
  const auto value = ParsePythonLiteral(text);
  return value ? value->dump() : "none";
}

TEST(PythonLiteral, ReadsWhatPythonPrints) {
  EXPECT_EQ(Read("['a', \"it's\", 'q\"\\'']"), R"(["a","it's","q\"'"])");
  EXPECT_EQ(Read(R"(['\n\t\\', '\x41\u00e9\U0001f600'])"), "[\"\\n\\t\\\\\",\"Aé😀\"]");
  EXPECT_EQ(Read("{'text': ['a', 'b'], 'label': (1, 2.5, -3)}"), R"({"text":["a","b"],"label":[1,2.5,-3]})");
  EXPECT_EQ(Read("[True, False, None, 1e3,]"), "[true,false,null,1000.0]");
  EXPECT_EQ(Read(" 7 "), "7");
  EXPECT_EQ(Read("'a\\qb'"), R"("a\\qb")");
}

TEST(PythonLiteral, RefusesTheRest) {
  for (const char* text :
       {"", "[", "['a'", "[a]", "'a", "1 2", "__import__('os')", "{1: 2}", "'\\x4'", "[1, , 2]"})
    EXPECT_EQ(Read(text), "none") << text;
  EXPECT_EQ(Read(std::string(100000, '[')), "none");
}

}  // namespace
}  // namespace forge::eval
