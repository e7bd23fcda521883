// SPDX-License-Identifier: Apache-2.0
#include "text/merge_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/philox.h"

namespace forge::text {
namespace {

using ::testing::ElementsAre;
using Rule = MergeTable::Rule;

std::vector<int> Apply(const MergeTable& table, std::vector<int> symbols) {
  MergeTable::Scratch scratch;
  table.Apply(symbols, scratch);
  return symbols;
}

/// The definition: the lowest rank anywhere, of equals the leftmost, until there is none.
std::vector<int> ApplySlowly(const std::vector<Rule>& rules, std::vector<int> symbols) {
  for (;;) {
    const Rule* best = nullptr;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
      for (const Rule& rule : rules)
        if (rule.left == symbols[i] && rule.right == symbols[i + 1] &&
            (best == nullptr || rule.rank < best->rank)) {
          best = &rule;
          place = i;
        }
    if (best == nullptr) return symbols;
    symbols[place] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

/// Rules over a few symbols, each pair once. With `ties` several have the same rank.
std::vector<Rule> RandomRules(Random& random, bool ties) {
  std::vector<Rule> rules;
  std::uint32_t rank = 0;
  for (int left = 0; left < 9; ++left)
    for (int right = 0; right < 9; ++right)
      if (random.Below(2) == 0) rules.push_back({left, right, static_cast<int>(random.Below(9)), 0});
  for (std::size_t i = rules.size(); i > 1; --i) std::swap(rules[i - 1], rules[random.Below(i)]);
  for (Rule& rule : rules) rule.rank = ties ? rank++ / 4 : rank++;
  return rules;
}

TEST(MergeTable, AppliesTheLowestRankFirstAndOfEqualsTheLeftmost) {
  const MergeTable table(std::vector<Rule>{{0, 1, 10, 1}, {1, 2, 11, 0}, {0, 0, 12, 5}});
  EXPECT_THAT(Apply(table, {0, 1, 2}), ElementsAre(0, 11));
  EXPECT_THAT(Apply(table, {0, 0, 0}), ElementsAre(12, 0));
  EXPECT_THAT(Apply(table, {}), ElementsAre());
  EXPECT_THAT(Apply(table, {7}), ElementsAre(7));
}

// Hugging Face tokenizers 0.23.3: merges "a b", "b c", "a b" give a, bc for "abc".
TEST(MergeTable, KeepsTheLastRankOfAPairThatOccursTwice) {
  const MergeTable table(std::vector<Rule>{{0, 1, 10, 0}, {1, 2, 11, 1}, {0, 1, 10, 2}});
  EXPECT_THAT(Apply(table, {0, 1, 2}), ElementsAre(0, 11));
}

TEST(MergeTable, EqualsItsDefinitionOnShortAndLongRuns) {
  Random random(1, "merge_table_test");
  for (int trial = 0; trial < 400; ++trial) {
    const std::vector<Rule> rules = RandomRules(random, trial % 2 == 0);
    const MergeTable table(rules);
    for (const std::size_t size : {1, 2, 5, 31, 32, 33, 34, 100}) {
      std::vector<int> symbols;
      for (std::size_t i = 0; i < size; ++i) symbols.push_back(static_cast<int>(random.Below(9)));
      ASSERT_EQ(Apply(table, symbols), ApplySlowly(rules, symbols)) << trial << " " << size;
    }
  }
}

// Blocks of a few symbols, so that their ends cross merges all the time.
TEST(MergeTable, EqualsItsDefinitionInBlocksOfAnySize) {
  Random random(2, "merge_table_test");
  for (int trial = 0; trial < 600; ++trial) {
    const std::vector<Rule> rules = RandomRules(random, trial % 2 == 0);
    const MergeTable table(rules);
    std::vector<int> symbols;
    const int kinds =
        trial % 3 == 0 ? 1 : 9;  // runs of one symbol shift where they are cut off from the start
    for (int i = 0; i < 150; ++i) symbols.push_back(static_cast<int>(random.Below(kinds)));
    const std::vector<int> expected = ApplySlowly(rules, symbols);
    for (const std::size_t block : {1, 2, 3, 7, 16, 50, 74}) {
      MergeTable::Scratch scratch;
      scratch.block = block;
      std::vector<int> merged = symbols;
      table.Apply(merged, scratch);
      ASSERT_EQ(merged, expected) << trial << " " << block;
    }
  }
}

// a b c d -> ab (unused), abc (unused), cd: what is left unused falls apart into the pair seen last.
TEST(MergeTable, TakesPassingSymbolsApartAgain) {
  const std::vector<Rule> rules{{0, 1, 4, 0}, {4, 2, 5, 1}, {5, 3, 6, 2}};
  std::vector<bool> passing(7);
  passing[4] = passing[5] = true;
  const MergeTable table(rules, passing);
  EXPECT_THAT(Apply(table, {0, 1, 2, 3}), ElementsAre(6));
  EXPECT_THAT(Apply(table, {0, 1, 2}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Apply(table, {4, 9}), ElementsAre(4, 9));  // no pair was seen for it
  std::vector<int> many, expected;
  for (int i = 0; i < 30; ++i) {
    many.insert(many.end(), {0, 1, 2, 9});
    expected.insert(expected.end(), {0, 1, 2, 9});
  }
  EXPECT_EQ(Apply(table, many), expected);
}

// Symbol 4 comes from 0 1, and late from 2 3, which 5 6 make first: the pair seen last counts for all of
// them, wherever blocks end.
TEST(MergeTable, TakesPassingSymbolsApartIntoThePairSeenLastInAllOfTheRun) {
  const std::vector<Rule> rules{{0, 1, 4, 0}, {2, 3, 4, 1}, {5, 6, 2, 5}};
  std::vector<bool> passing(5);
  passing[4] = true;
  std::vector<int> symbols{5, 6, 3, 9, 0, 1}, expected{2, 3, 9, 2, 3};
  symbols.resize(50, 9);
  expected.resize(49, 9);
  MergeTable::Scratch scratch;
  scratch.block = 2;
  MergeTable(rules, passing).Apply(symbols, scratch);
  EXPECT_EQ(symbols, expected);
}

// n log n takes a fraction of a second, n * n would take an hour.
TEST(MergeTable, TakesAMillionSymbolsInOnePiece) {
  std::vector<Rule> rules;
  for (int level = 0; level < 10; ++level) rules.push_back({level, level, level + 1, 9u - level});
  std::vector<int> symbols(1 << 20, 0);
  MergeTable::Scratch scratch;
  MergeTable(rules).Apply(symbols, scratch);
  EXPECT_EQ(symbols, std::vector<int>(1 << 10, 10));
}

}  // namespace
}  // namespace forge::text
