// SPDX-License-Identifier: Apache-2.0
#include "evolve/search_algorithm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "base/error.h"
#include "evolve/cma_es.h"
#include "evolve/map_elites.h"
#include "evolve/nsga2.h"
#include "evolve/random_search.h"
#include "evolve/surrogate.h"
#include "evolve/testing_functions.h"

namespace forge::evolve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string WhyOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.fields().what + ": " + error.fields().why;
  }
  return "nothing thrown";
}

std::vector<std::unique_ptr<SearchAlgorithm>> AllAlgorithms(const SearchOptions& options) {
  std::vector<std::unique_ptr<SearchAlgorithm>> all;
  all.push_back(std::make_unique<RandomSearch>(options));
  all.push_back(std::make_unique<CmaEs>(options, CmaEsConfig{}));
  all.push_back(std::make_unique<CmaEs>(
      options, CmaEsConfig{.mirrored_sampling = true, .learning_rate_adaptation = true, .restarts = "ipop"}));
  all.push_back(std::make_unique<Nsga2>(options, Nsga2Config{.population_size = 12}));
  all.push_back(std::make_unique<MapElites>(options, Cube(2, -5, 5), MapElitesConfig{.initial_points = 20}));
  all.push_back(
      std::make_unique<SurrogateSearch>(std::make_unique<CmaEs>(options, CmaEsConfig{}), SurrogateConfig{}));
  return all;
}

const SearchOptions kOptions{
    .box = Cube(4, -5, 5), .start_points = {{1, 2, 3, 4}, {-1, -2, -3, -4}}, .seed = 7};

/// A result that suits every algorithm; each seventh evaluation fails.
Outcome Evaluate(const Proposal& proposal) {
  if (proposal.id % 7 == 6) return Failure();
  Outcome outcome = Low(Rastrigin(proposal.point));
  outcome.descriptors = {proposal.point[0], proposal.point[1]};
  return outcome;
}

/// Points of the first `count` proposals of a search that is asked at most `ahead` ahead, and told in the
/// order of asking.
std::vector<std::vector<double>> Points(SearchAlgorithm& search, std::size_t count, int ahead) {
  std::vector<std::vector<double>> points;
  while (points.size() < count) {
    std::vector<Proposal> batch;
    while (search.IndependentAsks() > 0 && static_cast<int>(batch.size()) < ahead)
      batch.push_back(search.Ask());
    EXPECT_FALSE(batch.empty());
    for (const Proposal& proposal : batch) {
      points.push_back(proposal.point);
      search.Tell(proposal.id, Evaluate(proposal));
    }
  }
  points.resize(count);
  return points;
}

TEST(SearchAlgorithms, AskedAsFarAheadAsProposalsAreIndependentAreTheSameSearch) {
  const auto one = AllAlgorithms(kOptions), many = AllAlgorithms(kOptions);
  for (std::size_t i = 0; i < one.size(); ++i)
    EXPECT_EQ(Points(*one[i], 150, 1), Points(*many[i], 150, 64)) << "algorithm " << i;
}

TEST(SearchAlgorithms, SayHowFarAheadTheyCanBeAsked) {
  CmaEs search(kOptions, {.population_size = 9});
  EXPECT_EQ(search.IndependentAsks(), 2);  // start points
  const Proposal a = search.Ask(), b = search.Ask();
  EXPECT_EQ(search.IndependentAsks(), 0);
  search.Tell(a.id, Evaluate(a));
  search.Tell(b.id, Evaluate(b));
  EXPECT_EQ(search.IndependentAsks(), 9);
  search.Ask();
  EXPECT_EQ(search.IndependentAsks(), 8);
}

TEST(Box, IsRefusedWithEveryDimensionThatIsWrong) {
  const Box box{{{"a", 0, 1}, {"b", 2, 2}, {"c", 3, -1}, {"d", 0, std::numeric_limits<double>::infinity()}}};
  EXPECT_EQ(WhyOf([&] { box.Check(); }),
            "cannot search this box: b goes from 2 to 2; c goes from 3 to -1; d goes from 0 to inf");
  EXPECT_THAT(WhyOf([] { Box().Check(); }), HasSubstr("no dimensions"));
}

TEST(Box, RefusesAStartPointOutsideItOrOfAnotherLength) {
  EXPECT_EQ(WhyOf([] {
              RandomSearch({.box = Cube(2, 0, 1), .start_points = {{0, 1}, {0.5, 1.5}}});
            }),
            "cannot start from start point 1: x1 is 1.5; the box has 0 to 1");
  EXPECT_EQ(WhyOf([] { RandomSearch({.box = Cube(2, 0, 1), .start_points = {{0}}}); }),
            "cannot start from start point 0: it has 1 values; the box has 2 dimensions");
}

TEST(Box, UnitCoordinatesGoThereAndBack) {
  const Box box{{{"a", -1, 3}, {"b", 0.2, 1}}};
  EXPECT_THAT(box.ToUnit(std::vector<double>{0, 1}), ElementsAre(0.25, 1));
  EXPECT_THAT(box.FromUnit(std::vector<double>{0.25, 1}), ElementsAre(0, 1));
  EXPECT_THAT(box.FromUnit(std::vector<double>{-1, 2}), ElementsAre(-1, 1));
}

TEST(Box, ReflectionFoldsTheLine) {
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(0.4), 0.4);
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(1.2), 0.8);
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(-0.2), 0.2);
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(2.25), 0.25);
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(-3.25), 0.75);
  EXPECT_DOUBLE_EQ(ReflectIntoUnit(std::nan("")), 0.5);
}

TEST(Outcome, RanksFailuresLastThenByViolationThenByTheFirstObjective) {
  const Outcome good{.objectives = {2}}, poor{.objectives = {1}};
  const Outcome slightly_off{.objectives = {9}, .violation = 0.1}, far_off{.objectives = {9}, .violation = 2};
  const std::vector<Outcome> ranked{good, poor, slightly_off, far_off, Failure()};
  for (std::size_t i = 0; i < ranked.size(); ++i)
    for (std::size_t j = 0; j < ranked.size(); ++j)
      EXPECT_EQ(IsBetter(ranked[i], ranked[j]), i < j) << i << j;
  EXPECT_TRUE(Outcome({.objectives = {1, std::nan("")}}).failed());
}

TEST(SearchAlgorithm, ProposesTheStartPointsFirstAndStaysInTheBox) {
  for (const auto& search : AllAlgorithms(kOptions)) {
    EXPECT_EQ(search->Ask().point, kOptions.start_points[0]);
    EXPECT_EQ(search->Ask().point, kOptions.start_points[1]);
    for (int i = 0; i < 300; ++i) {
      const Proposal proposal = search->Ask();
      EXPECT_EQ(proposal.id, static_cast<std::uint64_t>(i + 2));
      EXPECT_TRUE(kOptions.box.Contains(proposal.point));
      EXPECT_NE(proposal.origin, "start");
      search->Tell(proposal.id, Evaluate(proposal));
    }
    EXPECT_THAT(search->Outstanding(), ElementsAre(0, 1));
    EXPECT_TRUE(kOptions.box.Contains(search->Recommended()));
    EXPECT_GT(search->SpreadLeft(), 0);
  }
}

struct Call {
  bool is_ask;
  Proposal proposal;
  Outcome outcome;
};

/// Several asks before any result, results out of order.
std::vector<Call> Play(SearchAlgorithm& search, int steps) {
  std::vector<Call> journal;
  std::vector<Proposal> running;
  for (int step = 0; step < steps; ++step) {
    Random random(3, "testing/journal", static_cast<std::uint64_t>(step));
    if (running.size() < 2 || (running.size() < 9 && random.Uniform() < 0.5)) {
      running.push_back(search.Ask());
      journal.push_back({true, running.back(), {}});
    } else {
      const auto job = running.begin() + random.Below(static_cast<std::uint32_t>(running.size()));
      search.Tell(job->id, Evaluate(*job));
      journal.push_back({false, *job, Evaluate(*job)});
      running.erase(job);
    }
  }
  return journal;
}

TEST(SearchAlgorithm, IsWhereItWasWhenItsJournalIsReplayed) {
  SearchOptions other = kOptions;
  other.seed = 8;
  for (std::size_t i = 0; i < AllAlgorithms(kOptions).size(); ++i) {
    SCOPED_TRACE(i);
    const auto first = std::move(AllAlgorithms(kOptions)[i]), second = std::move(AllAlgorithms(kOptions)[i]);
    const std::vector<Call> journal = Play(*first, 1500);
    for (const Call& call : journal) {
      if (!call.is_ask) {
        second->Tell(call.proposal.id, call.outcome);
        continue;
      }
      const Proposal proposal = second->Ask();
      ASSERT_EQ(proposal.point, call.proposal.point);
      EXPECT_EQ(proposal.parents, call.proposal.parents);
    }
    EXPECT_EQ(second->Recommended(), first->Recommended());
    EXPECT_EQ(second->Ask().point, first->Ask().point);
    EXPECT_NE(Play(*AllAlgorithms(other)[i], 1500).back().proposal.point, journal.back().proposal.point);
  }
}

TEST(SearchAlgorithm, RefusesAResultTwiceForAnUnknownIdOrOfAnotherKind) {
  for (const auto& search : AllAlgorithms(kOptions)) {
    const Proposal first = search->Ask(), second = search->Ask();
    search->Tell(first.id, Evaluate(first));
    EXPECT_EQ(WhyOf([&] { search->Tell(0, Evaluate(first)); }),
              "cannot use the result of proposal 0: it has been told already");
    EXPECT_EQ(WhyOf([&] { search->Tell(17, Evaluate(first)); }),
              "cannot use the result of proposal 17: it was never asked for");
    EXPECT_EQ(WhyOf([&] {
                search->Tell(1, {.objectives = {1, 2}});
              }),
              "cannot use the result of proposal 1: it has 2 objectives; results before it have 1");
    EXPECT_THAT(WhyOf([&] { search->Tell(1, {.objectives = {1}, .violation = -1}); }),
                HasSubstr("violation"));
    EXPECT_THAT(WhyOf([&] { search->Tell(1, {.objectives = {1}, .standard_error = std::nan("")}); }),
                HasSubstr("standard error"));
    search->Tell(1, Evaluate(second));  // refused results count for nothing
    EXPECT_EQ(search->num_told(), 2u);
  }
}

TEST(SearchAlgorithm, TheBestSeenIsTheOneThatIsSurelyGood) {
  RandomSearch search({.box = Cube(1, 0, 1)});
  for (int i = 0; i < 4; ++i) search.Ask();
  search.Tell(2, {.objectives = {0.9}, .standard_error = 0.3});
  search.Tell(0, {.objectives = {0.8}, .standard_error = 0.1});
  search.Tell(1, {.objectives = {5}, .violation = 1});
  search.Tell(3, Failure());
  EXPECT_EQ(search.best_seen()->proposal.id, 0u);
  EXPECT_EQ(search.Recommended(), search.best_seen()->proposal.point);
}

TEST(SearchAlgorithm, WithoutAnyResultRecommendsTheFirstStartPointOrTheMiddle) {
  EXPECT_THAT(RandomSearch({.box = Cube(2, 0, 1)}).Recommended(), ElementsAre(0.5, 0.5));
  EXPECT_EQ(RandomSearch(kOptions).Recommended(), kOptions.start_points[0]);
}

TEST(RandomSearch, IsUniformInTheBox) {
  RandomSearch search({.box = Cube(2, -1, 3)});
  double sum = 0, square = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const double value = search.Ask().point[1];
    sum += value;
    square += value * value;
  }
  // Mean 1 and variance 16 / 12; four standard errors: 4 * 1.155 / sqrt(20000) and 4 * 1.19 / sqrt(20000).
  EXPECT_NEAR(sum / kCount, 1, 0.033);
  EXPECT_NEAR(square / kCount - 1, 16.0 / 12, 0.1);
}

TEST(Configs, ReportEveryFieldThatIsOutOfRange) {
  EXPECT_EQ(
      WhyOf([] { CmaEs(kOptions, {.initial_step_size = 3, .restarts = "often"}); }),
      "cannot search with cma-es: initial_step_size is 3; it must be 1e-06 to 0.25; restarts is often; it "
      "must be none, ipop, bipop");
  EXPECT_THAT(WhyOf([] { Nsga2(kOptions, {.population_size = 1}); }), HasSubstr("population_size is 1"));
  EXPECT_THAT(WhyOf([] { MapElites(kOptions, Cube(1, 0, 1), {.bins = 0}); }), HasSubstr("bins is 0"));
}

}  // namespace
}  // namespace forge::evolve
