// SPDX-License-Identifier: Apache-2.0
#include "pipeline/evolve_candidates.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "pipeline/candidate_race.h"
#include "pipeline/merge_genome.h"
#include "pipeline/testing_search.h"

namespace forge::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ShufflingExecutor;

class EvolveCandidatesTest : public testing::TinySearch {
 protected:
  EvolveCandidates Candidates(const RunContext& context, std::uint64_t order, int slots = 4) {
    auto executor = std::make_unique<ShufflingExecutor>(*evaluator_, order, slots);
    executor_ = executor.get();
    return EvolveCandidates(*evaluator_, context, std::move(executor));
  }
  static Evaluation Of(double lambda, Measure measure = {}) {
    return {ModelChoice::Merge(TaskArithmeticRecipe(2, 2, lambda)), measure};
  }
  ShufflingExecutor* executor_ = nullptr;
};

TEST_F(EvolveCandidatesTest, AnEvaluationIsReadBackFromItsText) {
  const Evaluation evaluation =
      Of(1.0 / 3,
         {.split = eval::Split::kSelection, .likelihood = true, .first = 3, .items = 5, .ternary = true});
  const Evaluation again = Evaluation::FromJson(io::Json::parse(evaluation.ToJson().dump()));
  EXPECT_EQ(again.ToJson(), evaluation.ToJson());
  EXPECT_EQ(again.Key(), evaluation.Key());
  EXPECT_THAT(evaluation.Key(), HasSubstr("selection likelihood ternary 3+5 "));
  EXPECT_EQ((Evaluation{ModelChoice::Parent(1), {}}.Key()), "search 0+0 parent 1");
  EXPECT_EQ(Evaluation::FromJson(Evaluation{ModelChoice::Parent(1), {}}.ToJson()).model.parent, 1u);
  EXPECT_NE(Of(0.5).Key(), Of(0.5000000001).Key());
  EXPECT_THROW(Evaluation::FromJson({{"model", "base"}}), Error);
  io::Json other = Of(1).ToJson();
  other["split"] = "secret";
  EXPECT_THROW(Evaluation::FromJson(other), Error);
}

TEST_F(EvolveCandidatesTest, ItemsAreTakenInTheOrderOfTheMeasure) {
  std::vector<std::vector<int>> order(2);
  for (int i = 31; i >= 0; --i) order[0].push_back(i);
  for (int i = 0; i < 32; ++i) order[1].push_back((i + 5) % 32);
  const Evaluation part = Of(0.3, {.first = 2, .items = 7, .order = order});
  const io::Json text = io::Json::parse(part.ToJson().dump());
  EXPECT_EQ(Evaluation::FromJson(text).measure.order, order);
  EXPECT_NE(part.Key(), Of(0.3, {.first = 2, .items = 7}).Key());
  const RunContext context = Context("a");
  EvolveCandidates candidates = Candidates(context, 1);
  const Scores all = candidates.ScoreOne(Of(0.3, {.likelihood = true}));
  const Scores some =
      candidates.ScoreOne(Of(0.3, {.likelihood = true, .first = 2, .items = 7, .order = order}));
  for (std::size_t d = 0; d < 2; ++d)
    for (std::size_t i = 0; i < 7; ++i)
      EXPECT_EQ(some[d][i], all[d][static_cast<std::size_t>(order[d][i + 2])]) << d << " " << i;
  order[1].pop_back();
  EXPECT_THROW(candidates.ScoreOne(Of(0.3, {.order = order})), Error);
}

TEST_F(EvolveCandidatesTest, ScoresComeInTheOrderAskedWhateverTheOrderOfArrival) {
  const RunContext context = Context("a"), other = Context("b");
  const std::vector<Evaluation> evaluations{
      Of(0.2), {ModelChoice::Parent(0), {}}, Of(0.8), {ModelChoice::Base(), {}}};
  EvolveCandidates shuffled = Candidates(context, 5);
  EvolveCandidates alone(*evaluator_, other);
  const std::vector<Scores> ours = shuffled.Score(evaluations), theirs = alone.Score(evaluations);
  EXPECT_EQ(ours, theirs);
  EXPECT_NE(ours[0], ours[2]);
  EXPECT_EQ(ours[0].size(), 2u);
  EXPECT_EQ(ours[0][0].size(), 32u);
}

TEST_F(EvolveCandidatesTest, WhatWasMeasuredIsNotMeasuredAgain) {
  const RunContext context = Context("a");
  EvolveCandidates first = Candidates(context, 1);
  const std::vector<Scores> scores = first.Score({Of(0.2), Of(0.8), Of(0.2)});
  EXPECT_EQ(scores[0], scores[2]);
  EXPECT_EQ(executor_->count(), 2);
  EXPECT_EQ(first.num_repeated(), 1);
  EvolveCandidates second = Candidates(context, 1);
  EXPECT_EQ(second.Score({Of(0.8)})[0], scores[1]);
  EXPECT_EQ(executor_->count(), 0);
  EXPECT_EQ(second.full_cost().models, 1);  // it did cost, in the session before
  EXPECT_EQ(second.num_repeated(), 0);
  EXPECT_EQ(second.tokens(), first.tokens() / 2);
}

TEST_F(EvolveCandidatesTest, WhatAnEarlierRunMeasuredIsTakenOver) {
  RunContext context = Context("a");
  EvolveCandidates first = Candidates(context, 1);
  first.UseKeptEvaluations();
  const Scores scores = first.ScoreOne(Of(0.2));
  context.store->CreateRun({.id = "later", .command = "test", .seed = 3});
  context.run = "later";
  EvolveCandidates own = Candidates(context, 1);
  EXPECT_EQ(own.ScoreOne(Of(0.4)).size(), 2u);
  EXPECT_EQ(executor_->count(), 1);
  for (int session = 0; session < 2; ++session) {  // the second reads it as a unit of the run
    EvolveCandidates later = Candidates(context, 1);
    later.UseKeptEvaluations();
    EXPECT_EQ(later.ScoreOne(Of(0.2)), scores);
    EXPECT_EQ(executor_->count(), 0);
    EXPECT_EQ(later.num_from_earlier_runs(), 1);
    EXPECT_EQ(later.full_cost().models, 0);
    EXPECT_EQ(later.tokens(), 0);
  }
}

TEST_F(EvolveCandidatesTest, ADamagedRowIsNotUsed) {
  const RunContext context = Context("a");
  const Evaluation evaluation = Of(0.2);
  context.store->PutUnit(context.run, kEvolveStage, evaluation.Key(), {{"scores", "x"}});
  EvolveCandidates candidates = Candidates(context, 1);
  EXPECT_THROW(candidates.Score({evaluation}), Error);
}

TEST_F(EvolveCandidatesTest, PartsOfTheItemsAddUpToAll) {
  const RunContext context = Context("a");
  EvolveCandidates candidates = Candidates(context, 1);
  const std::vector<Scores> parts =
      candidates.Score({Of(0.4, {.first = 0, .items = 5}), Of(0.4, {.first = 5, .items = 40}), Of(0.4)});
  for (std::size_t d = 0; d < 2; ++d) {
    std::vector<double> joined = parts[0][d];
    EXPECT_EQ(joined.size(), 5u);
    joined.insert(joined.end(), parts[1][d].begin(), parts[1][d].end());
    EXPECT_EQ(joined, parts[2][d]);
  }
  EXPECT_DOUBLE_EQ(candidates.full_cost().share, 2);
}

TEST_F(EvolveCandidatesTest, RoundingToTernaryChangesTheModel) {
  const RunContext context = Context("a");
  EvolveCandidates candidates = Candidates(context, 1);
  const std::vector<Scores> scores = candidates.Score({Of(0.4), Of(0.4, {.ternary = true})});
  EXPECT_NE(scores[0], scores[1]);
  EXPECT_TRUE(std::isfinite(WeightedMean(candidates.domains(), scores[1])));
}

TEST_F(EvolveCandidatesTest, ARaceDropsWhatIsSurelyWorseAndMeasuresTheRestOnAllItems) {
  const RunContext context = Context("a");
  EvolveCandidates candidates = Candidates(context, 1);
  std::vector<ModelChoice> models;
  for (const double lambda : {0.5, 20.0, 0.52, 30.0, 25.0})
    models.push_back(ModelChoice::Merge(TaskArithmeticRecipe(2, 2, lambda)));
  const CandidateRace race = RaceCandidates(candidates, models, {}, 2, {.error_rate = 0.5, .least_items = 6});
  EXPECT_THAT(race.survivors, ElementsAre(0, 2));
  EXPECT_EQ(race.scores[0], candidates.ScoreOne(Of(0.5)));
  EXPECT_LT(race.scores[3][0].size(), 32u);
  EXPECT_LT(candidates.full_cost().share, 5);
  EXPECT_DOUBLE_EQ(race.means[2], WeightedMean(candidates.domains(), race.scores[2]));
  const double whole = WeightedMean(candidates.domains(), candidates.ScoreOne({models[3], {}}));
  EXPECT_NEAR(race.means[3], whole, 0.2 * std::abs(whole - race.means[0]));
  const CandidateRace all = RaceCandidates(candidates, models, {}, 5, {.error_rate = 0.5, .least_items = 6});
  EXPECT_EQ(all.survivors.size(), 5u);
}

}  // namespace
}  // namespace forge::pipeline
