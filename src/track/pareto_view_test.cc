// SPDX-License-Identifier: Apache-2.0
#include "track/pareto_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::track {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Candidate Scored(std::int64_t id, const std::string& kind, const std::string& label, const Json& scores) {
  return {.id = id, .kind = kind, .label = label, .scores = scores};
}

Json Entry(std::int64_t id, const std::string& label, const Json& scores) {
  return {{"number", id}, {"label", label}, {"kind", "sample"}, {"scores", scores}, {"recipe", "ties"}};
}

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST(ParetoView, ShowsTwoDomainsAsAScatterWithParentsAndChampion) {
  const std::vector<Candidate> candidates{Scored(1, "sample", "g001", {{"code", 0.2}, {"math", 0.9}}),
                                          Scored(2, "sample", "g002", {{"code", 0.8}, {"math", 0.6}}),
                                          Scored(3, "sample", "g003", {{"code", 0.1}, {"math", 0.1}}),
                                          Scored(4, "sample", "odd", {{"code", 0.1}}),
                                          Scored(9, "parent", "mathe <b>", {{"code", -0.1}, {"math", 0.7}})};
  const Json evolve{
      {"champion", 2},
      {"pareto_front", {Entry(2, "g002", candidates[1].scores), Entry(1, "g001", candidates[0].scores)}}};
  const ParetoView view = ViewOfFront(evolve, candidates);
  EXPECT_THAT(view.header, ElementsAre("not dominated on the search items", "code", "math", "recipe"));
  EXPECT_THAT(view.rows, ElementsAre(ElementsAre("g002 (champion)", "0.800", "0.600", "ties"),
                                     ElementsAre("g001", "0.200", "0.900", "ties")));
  EXPECT_EQ(Count(view.plot, "<circle"), 4u);  // all that has both scores
  EXPECT_EQ(Count(view.plot, "class=\"dot\""), 1u);
  EXPECT_EQ(Count(view.plot, "class=\"front\""), 1u);
  EXPECT_THAT(view.plot, HasSubstr(">champion g002</text>"));
  EXPECT_THAT(view.plot, HasSubstr(">mathe &lt;b&gt;</text>"));
  EXPECT_THAT(view.plot, Not(HasSubstr("<b>")));
  EXPECT_THAT(view.plot, HasSubstr(">0</text>"));  // a tick, not -0
}

TEST(ParetoView, ShowsThreeDomainsAsAxesWithALineForEachModelOfTheFront) {
  const Json high{{"a", 1}, {"b", 0.5}, {"c", 2}}, low{{"a", 0.5}, {"b", 0.7}, {"c", 1}};
  const std::vector<Candidate> candidates{Scored(1, "sample", "x", high), Scored(2, "sample", "y", low),
                                          Scored(3, "sample", "z", {{"a", 0}, {"b", 0}, {"c", 0}}),
                                          Scored(9, "parent", "p", {{"a", 0}, {"b", 0.1}, {"c", 0}})};
  const ParetoView view =
      ViewOfFront({{"champion", 1}, {"pareto_front", {Entry(1, "x", high), Entry(2, "y", low)}}}, candidates);
  EXPECT_EQ(view.rows.size(), 2u);
  EXPECT_EQ(Count(view.plot, "<polyline"), 3u);  // both and the parent; z is dominated
  EXPECT_EQ(Count(view.plot, "class=\"curve s0 bold\""), 1u);
  EXPECT_EQ(Count(view.plot, "class=\"curve reference\""), 1u);
  for (const char* domain : {">a<", ">b<", ">c<"}) EXPECT_THAT(view.plot, HasSubstr(domain));
}

TEST(ParetoView, HasATableOnlyForOneDomainAndNothingWithoutAFront) {
  const ParetoView one = ViewOfFront({{"champion", 1}, {"pareto_front", {Entry(1, "x", {{"a", 1}})}}},
                                     {Scored(1, "sample", "x", {{"a", 1}})});
  EXPECT_EQ(one.rows.size(), 1u);
  EXPECT_EQ(one.plot, "");
  for (const Json& evolve : {Json(), Json::object(), Json{{"pareto_front", 3}},
                             Json{{"pareto_front", {1, 2}}}, Json{{"pareto_front", Json::array()}}})
    EXPECT_TRUE(ViewOfFront(evolve, {}).rows.empty());
}

}  // namespace
}  // namespace forge::track
