// SPDX-License-Identifier: Apache-2.0
#include "eval/math_answer.h"

#include <gtest/gtest.h>

namespace forge::eval {
namespace {

// Worked cases, by rule. The pairs marked H are equal by the normalisation of Hendrycks et al. too.
TEST(MathAnswer, HasOneFormForEveryWayToWriteIt) {
  const struct {
    const char *written, *canonical;
  } cases[] = {
      {"\\dfrac{1}{2}", "\\frac{1}{2}"},   // H
      {"\\tfrac12", "\\frac{1}{2}"},       // H
      {"\\frac1{72}", "\\frac{1}{72}"},    // H
      {"\\frac{a}b", "\\frac{a}{b}"},      // H
      {"\\frac {3} {4}", "\\frac{3}{4}"},  // H
      {"3/4", "\\frac{3}{4}"},             // H
      {"-3/4", "\\frac{-3}{4}"},           // H
      {"x/4", "x/4"},                      // H: only whole numbers
      {"0.5", "\\frac{1}{2}"},             // H
      {".5", "\\frac{1}{2}"},              // H
      {"-.25", "-0.25"},                   // H
      {"{.25}", "{0.25}"},                 // H
      {"\\sqrt3", "\\sqrt{3}"},            // H
      {"2\\sqrt{3}", "2\\sqrt{3}"},        // H
      {"\\sqrt[3]{2}", "\\sqrt[3]{2}"},
      {"\\left( 1, \\frac12 \\right)", "(1,\\frac{1}{2})"},  // H
      {"10\\text{ cm}", "10"},                               // H
      {"10 \\text{ cm}^2", "10"},                            // H
      {"5\\mbox{ inches}", "5"},
      {"\\text{Evelyn}", "Evelyn"},
      {"\\text{(A)}", "(A)"},
      {"45^\\circ", "45"},    // H
      {"45^{\\circ}", "45"},  // H
      {"25\\%", "25"},        // H
      {"\\$18.90", "18.90"},  // H
      {"x = 5", "5"},         // H
      {"abc = 5", "abc=5"},   // H: only a short left side
      {"x=y=5", "x=y=5"},     // H
      {"1,000,000", "1000000"},
      {"10,\\!000", "10000"},  // H
      {"(1,000)", "(1,000)"},  // a pair
      {"1,2,3", "1,2,3"},      // a list
      {"$7$.", "7"},
      {"x^{2} + 1", "x^{2}+1"},  // H
      {"", ""},
      {"\\frac", "\\frac{}{}"},
      {"{", "{"},
      {"}", "}"},
      {"\\", "\\"},
  };
  for (const auto& c : cases) EXPECT_EQ(CanonicalMath(c.written), c.canonical) << c.written;
}

TEST(MathAnswer, ComparesValuesBesideForms) {
  EXPECT_TRUE(IsSameMath("0.25", "\\frac14"));
  EXPECT_TRUE(IsSameMath("-\\frac{1}{2}", "\\frac{-1}{2}"));
  EXPECT_TRUE(IsSameMath("18.90", "18.9"));
  EXPECT_TRUE(IsSameMath("2.0", "2"));
  EXPECT_TRUE(IsSameMath("\\frac{2}{4}", "0.5"));
  EXPECT_FALSE(IsSameMath("\\frac{1}{0}", "\\frac{2}{0}"));
  EXPECT_FALSE(IsSameMath("0.333", "\\frac13"));
  EXPECT_FALSE(IsSameMath("(1,2)", "(2,1)"));
  EXPECT_FALSE(IsSameMath("", "0"));
}

TEST(MathAnswer, TakesTextThatIsNoMath) {
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "{";
  EXPECT_EQ(CanonicalMath(deep), deep);
  deep = "\\frac{";
  for (int i = 0; i < 300; ++i) deep += "\\frac{";
  CanonicalMath(deep);
}

}  // namespace
}  // namespace forge::eval
