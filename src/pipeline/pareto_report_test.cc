// SPDX-License-Identifier: Apache-2.0
#include "pipeline/pareto_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;
using track::Candidate;

std::vector<std::int64_t> Numbers(const io::Json& front) {
  std::vector<std::int64_t> numbers;
  for (const io::Json& entry : front) numbers.push_back(entry["number"]);
  return numbers;
}

Candidate Scored(std::int64_t id, double math, double code) {
  return {.id = id, .kind = "sample", .scores = {{"fitness", 0}, {"math", math}, {"code", code}}};
}

TEST(ParetoReport, ListsWhatNoOtherModelDominates) {
  const std::vector<Candidate> candidates{Scored(4, 0.5, 0.5), Scored(1, 0.2, 0.9), Scored(2, 0.9, 0.1),
                                          Scored(3, 0.5, 0.4),   // below 4
                                          Scored(5, 0.5, 0.5)};  // as 4
  EXPECT_THAT(Numbers(ParetoFront(candidates, {"math", "code"})), ElementsAre(2, 4, 1));
  EXPECT_THAT(Numbers(ParetoFront(candidates, {"code"})), ElementsAre(1));
  EXPECT_TRUE(ParetoFront({}, {"math", "code"}).empty());
}

TEST(ParetoReport, LeavesOutWhatWasNotScoredAndCountsTheParents) {
  std::vector<Candidate> candidates{Scored(1, 0.2, 0.2)};
  candidates.push_back({.id = 2, .kind = "sample", .scores = {{"math", 1}}});
  candidates.push_back({.id = 3, .kind = "sample", .scores = {{"math", 1}, {"code", nullptr}}});
  EXPECT_THAT(Numbers(ParetoFront(candidates, {"math", "code"})), ElementsAre(1));
  Candidate parent = Scored(1000000, 0.3, 0.2);
  parent.kind = "parent";
  parent.label = "a";
  candidates.push_back(parent);
  const io::Json front = ParetoFront(candidates, {"math", "code"});
  EXPECT_THAT(Numbers(front), ElementsAre(1000000));
  EXPECT_EQ(front[0]["label"], "a");
  EXPECT_EQ(front[0]["kind"], "parent");
  EXPECT_EQ(front[0]["recipe"], "");
  EXPECT_EQ(front[0]["scores"], (io::Json{{"math", 0.3}, {"code", 0.2}}));
}

TEST(ParetoReport, SaysTheRecipeInWords) {
  Candidate candidate = Scored(1, 1, 1);
  candidate.genome = {{"recipe", "ties x dfs"},
                      {"level", "paths"},
                      {"density", 0.614},
                      {"lambda", 1},
                      {"rope_theta", 20000.0}};
  EXPECT_EQ(ParetoFront({candidate}, {"math"})[0]["recipe"],
            "ties x dfs by paths, density 0.61, rope theta 20000");
}

}  // namespace
}  // namespace forge::pipeline
