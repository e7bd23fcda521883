// SPDX-License-Identifier: Apache-2.0
#include "pipeline/self_texts.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "pipeline/testing_search.h"

namespace forge::pipeline {
namespace {

class SelfTexts : public testing::TinySearch {
 protected:
  std::vector<eval::Item> Write(SelfTextOptions options) {
    return WriteSelfTexts(Model("m", 0.1f, 1), options, sink_, stop_);
  }
  NullMetricSink sink_;
  StopToken stop_;
};

std::string Whole(const eval::Item& item) { return item.prompt + item.completion; }

TEST_F(SelfTexts, AreTheSameForASeedAndOthersForAnother) {
  const std::vector<eval::Item> first = Write({.count = 40, .tokens = 60}),
                                again = Write({.count = 40, .tokens = 60}),
                                other = Write({.count = 40, .tokens = 60, .seed = 2});
  ASSERT_FALSE(first.empty());
  EXPECT_LE(first.size(), 40u);
  ASSERT_EQ(again.size(), first.size());
  std::set<std::string> texts;
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(Whole(again[i]), Whole(first[i]));
    EXPECT_FALSE(first[i].prompt.empty());
    EXPECT_TRUE(first[i].completion[0] == ' ' || first[i].completion[0] == '\n');
    EXPECT_GT(first[i].completion.size(), 1u);
    EXPECT_LE(Whole(first[i]).size(), 60u);  // a byte a token
    texts.insert(Whole(first[i]));
  }
  EXPECT_GT(texts.size(), first.size() / 2);
  EXPECT_NE(Whole(other.front()), Whole(first.front()));
}

TEST_F(SelfTexts, StopWhenAsked) {
  stop_.RequestStop();
  EXPECT_THROW(Write({.count = 1}), Error);
}

}  // namespace
}  // namespace forge::pipeline
