// SPDX-License-Identifier: Apache-2.0
#include "eval/starter_items.h"

#include <gtest/gtest.h>

#include <set>

#include "eval/evaluator.h"

namespace forge::eval {
namespace {

// (3+2) mod 7 = 5, (5+4) mod 7 = 2, (2+5) mod 7 = 0.
TEST(StarterItems, StatesAreTheRunningSumsModuloSeven) {
  EXPECT_EQ(StatesOf("m 3245  ["), "520");
  EXPECT_EQ(StatesOf("m 99    ="), "4");
}

TEST(StarterItems, SplitsAreDisjointAndMathSharesItsSplitWithDirect) {
  EXPECT_EQ(SplitOf("m 3245  ["), SplitOf("m 3245  ="));
  for (const StarterDomain domain :
       {StarterDomain::kMath, StarterDomain::kCode, StarterDomain::kStructured, StarterDomain::kDirect}) {
    std::set<std::string> seen;
    for (const Split split : {Split::kTrain, Split::kSearch, Split::kSelection, Split::kTest})
      for (const Item& item : StarterItems(domain, split, 1, 300)) {
        EXPECT_EQ(SplitOf(item.prompt), split);
        EXPECT_TRUE(seen.insert(item.prompt).second) << item.prompt;
        EXPECT_EQ(item.completion.find('\n'), item.completion.size() - 1);
      }
  }
}

TEST(StarterItems, AreAFunctionOfSeedAndIndex) {
  const auto text = [](std::uint64_t seed, std::uint64_t index) {
    return MakeStarterItem(StarterDomain::kCode, Split::kTrain, seed, index).prompt;
  };
  EXPECT_EQ(text(1, 5), text(1, 5));
  std::set<std::string> different{text(1, 5), text(1, 6), text(2, 5)};
  EXPECT_EQ(different.size(), 3u);
}

// An independent reading of the prompt: the answers are recomputed from its text.
TEST(StarterItems, CodeAnswersAreWhatTheProgramsGive) {
  for (const Item& item : StarterItems(StarterDomain::kCode, Split::kTest, 7, 200)) {
    const std::string program = item.prompt.substr(2, 3),
                      text = item.prompt.substr(6, item.prompt.size() - 7);
    const std::string answer = item.completion.substr(0, item.completion.size() - 1);
    std::string expected = text;
    if (program == "rev") expected = std::string(text.rbegin(), text.rend());
    if (program == "rot") expected = text.substr(1) + text[0];
    if (program == "srt") {
      const std::multiset<char> letters(text.begin(), text.end());
      expected = std::string(letters.begin(), letters.end());
    }
    if (program == "dbl") {
      expected.clear();
      for (const char c : text) expected.append(2, c);
    }
    if (program == "upp") {
      for (char& c : expected) c = static_cast<char>(std::toupper(c));
    }
    EXPECT_EQ(answer, expected) << item.prompt;
  }
}

TEST(IsCorrect, ComparesTheFinalAnswerOfWrittenStatesAndTheWholeOfOthers) {
  const Item math{"m 3245  [", "520]=0\n"}, code{"c rev ab>", "ba\n"};
  EXPECT_TRUE(IsCorrect(math, "520]=0"));
  EXPECT_TRUE(IsCorrect(math, "521]=0"));
  EXPECT_FALSE(IsCorrect(math, "520]=01"));
  EXPECT_FALSE(IsCorrect(math, "0"));
  EXPECT_TRUE(IsCorrect(code, "ba"));
  EXPECT_FALSE(IsCorrect(code, "ba "));
}

}  // namespace
}  // namespace forge::eval
