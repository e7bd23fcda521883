// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/evolve_candidates.h"

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class Series : public MetricSink {
 public:
  void Metric(std::string_view name, std::int64_t step, double value) override {
    points[std::string(name)][step] = value;
    last = name;
  }
  void Progress(std::string_view, std::int64_t, std::int64_t, std::string_view) override {}
  void Log(std::string_view line) override { lines.emplace_back(line); }
  std::map<std::string, std::map<std::int64_t, double>> points;
  std::vector<std::string> lines;
  std::string last;
};

class SearchDisplayTest : public ::testing::Test {
 protected:
  void Score(int generation, double math, double code) {
    display_.OnScored({.generation = generation}, {{math, math}, {code}});
  }
  std::vector<eval::DomainItems> domains_{{.name = "math"}, {.name = "code/py"}};
  Series sink_;
  SearchDisplay display_{domains_, sink_};
};

TEST_F(SearchDisplayTest, ShowsBestAndMeanOfEachDomainByGeneration) {
  Score(0, 0.25, 0.5);
  EXPECT_EQ(sink_.last, "evolve/best_fitness");
  Score(0, 0.75, 0.25);
  Score(1, 0.5, 1);
  EXPECT_THAT(sink_.points["evolve/best/math"], ElementsAre(Pair(0, 0.75), Pair(1, 0.75)));
  EXPECT_THAT(sink_.points["evolve/mean/math"], ElementsAre(Pair(0, 0.5), Pair(1, 0.5)));
  EXPECT_THAT(sink_.points["evolve/best/code_py"], ElementsAre(Pair(0, 0.5), Pair(1, 1)));
  EXPECT_THAT(sink_.points["evolve/mean/code_py"], ElementsAre(Pair(0, 0.375), Pair(1, 1)));
  EXPECT_THAT(sink_.points["evolve/best_fitness"], ElementsAre(Pair(0, 0.5), Pair(1, 0.75)));
  EXPECT_THAT(sink_.points["evolve/mean_fitness"], ElementsAre(Pair(0, 0.4375), Pair(1, 0.75)));
}

TEST_F(SearchDisplayTest, KeepsTheLinesOfTheModelsThatItStartsFrom) {
  display_.OnReference("a/b", {{0.5}, {0.25}});
  display_.OnReference("base", {{0.25}, {0.75}});
  EXPECT_THAT(sink_.points["evolve/reference/math/a_b"], ElementsAre(Pair(0, 0.5)));
  EXPECT_THAT(sink_.points["evolve/reference/code_py/base"], ElementsAre(Pair(0, 0.75)));
  Score(0, 0.5, 0.5);
  EXPECT_TRUE(sink_.lines.empty());  // the generation may go on
  Score(1, 1, 1);
  display_.Finish();
  EXPECT_THAT(sink_.lines,
              ElementsAre("generation 0: 1 scored, best so far 0.5000, mean 0.5000; math 0.5000 and 0.5000 "
                          "(started from 0.5000); code/py 0.5000 and 0.5000 (started from 0.7500)",
                          ::testing::HasSubstr("generation 1: 1 scored, best so far 1.0000")));
}

TEST_F(SearchDisplayTest, TakesGenerationsOutOfOrder) {
  Score(1, 0.5, 0.5);
  Score(0, 1, 1);  // a late one: its own step, and the best from there on
  Score(1, 0.25, 0.25);
  EXPECT_THAT(sink_.points["evolve/mean/math"], ElementsAre(Pair(0, 1), Pair(1, 0.375)));
  EXPECT_THAT(sink_.points["evolve/best/math"], ElementsAre(Pair(0, 1), Pair(1, 1)));
  EXPECT_THAT(sink_.points["evolve/best_fitness"], ElementsAre(Pair(0, 1), Pair(1, 1)));
}

TEST_F(SearchDisplayTest, CountsTheEvaluationsThatWereSaved) {
  display_.OnCost(10, 4.5);
  display_.OnCost(11, 12);
  EXPECT_THAT(sink_.points["evolve/evaluations_saved"], ElementsAre(Pair(10, 5.5), Pair(11, 0)));
  display_.Finish();
  EXPECT_TRUE(sink_.lines.empty());
}

}  // namespace
}  // namespace forge::pipeline
