// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_es.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "evolve/testing_functions.h"

namespace forge::evolve {
namespace {

using testing::Each;

constexpr int kSeeds = 9;

SearchOptions From(std::size_t dimensions, double start, std::uint64_t seed, double low = -5,
                   double high = 5) {
  return {.box = Cube(dimensions, low, high),
          .start_points = {std::vector<double>(dimensions, start)},
          .seed = seed};
}

double MedianEvaluations(const Function& function, std::size_t dimensions, const CmaEsConfig& config,
                         double target, int limit, int workers = 1) {
  return MedianOverSeeds(kSeeds, [&](std::uint64_t seed) {
    CmaEs search(From(dimensions, 3, seed), config);
    return EvaluationsUntil(search, function, target, limit, workers, seed);
  });
}

// Limits: about 1.15 times the medians measured when this was written (1500, 3900, 270, 470, 5600, 5500, 90).
// The reference implementation of the paper's authors (cmaes 0.12 for Python) needs 1491 for the sphere and
// 5613 for Rosenbrock's function in 10 dimensions.
TEST(CmaEs, FindsTheOptimumOfSmoothFunctionsInTheUsualNumberOfEvaluations) {
  EXPECT_LT(MedianEvaluations(Sphere, 10, {}, 1e-8, 5000), 1750);
  EXPECT_LT(MedianEvaluations(Ellipsoid, 10, {}, 1e-8, 10000), 4500);
  EXPECT_LT(MedianEvaluations(Sphere, 2, {}, 1e-8, 2000), 310);
  EXPECT_LT(MedianEvaluations(Rosenbrock, 2, {}, 1e-8, 3000), 540);
  EXPECT_LT(MedianEvaluations(Rosenbrock, 10, {}, 1e-8, 20000), 6400);
  EXPECT_LT(MedianEvaluations(Sphere, 40, {}, 1e-8, 20000), 6400);
  EXPECT_LT(MedianEvaluations(Sphere, 1, {}, 1e-8, 1000), 110);
}

TEST(CmaEs, ActiveWeightsSaveEvaluationsOnIllConditionedFunctions) {
  EXPECT_LT(MedianEvaluations(Ellipsoid, 10, {.active_weights = true}, 1e-8, 20000),
            0.85 * MedianEvaluations(Ellipsoid, 10, {.active_weights = false}, 1e-8, 20000));
}

TEST(CmaEs, RestartsFindTheLowestOfManyValleys) {
  // One run of 10 samples a generation ends in a local optimum of Rastrigin's function almost always.
  const auto found = [](const std::string& restarts) {
    int count = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      CmaEs search(From(3, 3, seed), {.restarts = restarts});
      count += EvaluationsUntil(search, Rastrigin, 1e-6, 30000) < 30000;
      EXPECT_EQ(search.status().restarts > 0 && restarts == "none", false);
    }
    return count;
  };
  EXPECT_LE(found("none"), 3);
  EXPECT_GE(found("ipop"), 7);
  EXPECT_GE(found("bipop"), 7);
}

TEST(CmaEs, KnowsWhenARunHasContracted) {
  CmaEs search(From(3, 1, 1), {.restarts = "none"});
  EXPECT_FALSE(search.Converged());
  EXPECT_DOUBLE_EQ(search.SpreadLeft(), 0.2);
  RunInTurn(search, Sphere, 300);
  EXPECT_FALSE(search.Converged());
  EXPECT_LT(search.SpreadLeft(), 0.01);
  RunInTurn(search, Sphere, 2000);
  EXPECT_TRUE(search.Converged());
  EXPECT_THAT(search.Recommended(), Each(testing::DoubleNear(0, 1e-5)));
  CmaEs twice(From(3, 1, 1), {.restarts = "ipop", .max_restarts = 1});
  RunInTurn(twice, Sphere, 6000);
  EXPECT_TRUE(twice.Converged());
  EXPECT_EQ(twice.status().restarts, 1);
  EXPECT_EQ(twice.status().population_size, 14);
}

Function Noisy(double deviation, std::uint64_t seed) {
  return [=, count = std::uint64_t{0}](std::span<const double> x) mutable {
    return Sphere(x) + deviation * Random(seed, "testing/noise", count++).Normal();
  };
}

// Nomura et al. 2024 have this case (noise of variance 1, 10 dimensions); at 10,000 evaluations their code
// gives a median of 0.47 for fixed rates and 0.0096 for adapted ones.
TEST(CmaEs, WithNoiseAdaptedLearningRatesComeFarNearerAtTheSameNumberOfEvaluations) {
  const auto distance = [](bool adapted) {
    return MedianOverSeeds(kSeeds, [&](std::uint64_t seed) {
      CmaEs search(From(10, 3, seed), {.learning_rate_adaptation = adapted, .restarts = "none"});
      RunInTurn(search, Noisy(1, seed), 10000);
      return Sphere(search.Recommended());
    });
  };
  const double adapted = distance(true), fixed = distance(false);
  EXPECT_LT(adapted, 0.03);
  EXPECT_LT(adapted, fixed / 10);
}

TEST(CmaEs, AdaptedLearningRatesFallInNoise) {
  CmaEs noisy(From(10, 3, 1), {.learning_rate_adaptation = true});
  RunInTurn(
      noisy, [noise = Noisy(1, 1)](std::span<const double> x) { return noise(x) - Sphere(x); }, 6000);
  EXPECT_LT(noisy.status().mean_learning_rate, 0.1);
  EXPECT_LT(noisy.status().covariance_learning_rate, 0.1);
  CmaEs fixed(From(10, 3, 1), {});
  EXPECT_EQ(fixed.status().mean_learning_rate, 1);
}

TEST(CmaEs, FindsOptimaOnTheBorderAndInTheCorner) {
  const Function slope = [](std::span<const double> x) { return 10 * x[0] + Sphere(x.subspan(1)); };
  const auto value = [](const Function& function, double low) {
    return MedianOverSeeds(kSeeds, [&](std::uint64_t seed) {
      CmaEs search(From(10, 3, seed, low, 5), {});
      RunInTurn(search, function, 1500);
      return -search.best_seen()->outcome.objectives[0];
    });
  };
  EXPECT_LT(value(slope, 0), 1e-2);  // of a range of 275
  EXPECT_LT(value(Sphere, 0), 1e-4);
  // Not parallel to the axes: 507.215 is the lowest value in the box that any run here has found.
  EXPECT_LT(MedianOverSeeds(kSeeds,
                            [](std::uint64_t seed) {
                              CmaEs search(From(10, 3, seed, 0, 5), {});
                              RunInTurn(search, TurnedEllipsoid, 3000);
                              return -search.best_seen()->outcome.objectives[0];
                            }),
            508);
}

// Medians when written, in 10 dimensions, lambda = 10: sphere 1575 evaluations with one worker, 1615 with 10;
// ellipsoid 3840 and 5570; 20 workers and lambda = 20: sphere 2800, ellipsoid 5660. So in time, 10 workers
// are 9.8 and 6.9 times as fast as one.
TEST(CmaEs, LateResultsInAnyOrderCostFewEvaluations) {
  EXPECT_LT(MedianEvaluations(Sphere, 10, {}, 1e-8, 20000, 5), 1.1 * 1575);
  EXPECT_LT(MedianEvaluations(Sphere, 10, {}, 1e-8, 20000, 10), 1.15 * 1575);
  EXPECT_LT(MedianEvaluations(Ellipsoid, 10, {}, 1e-8, 20000, 10), 1.6 * 3840);
  EXPECT_LT(MedianEvaluations(Ellipsoid, 10, {.population_size = 20}, 1e-8, 20000, 20), 1.6 * 3840);
  // Without late results, they are thrown away.
  EXPECT_GT(MedianEvaluations(Sphere, 10, {.max_delay = 0}, 1e-8, 20000, 10), 1.6 * 1575);
}

TEST(CmaEs, UpdatesWhenAsManyResultsAsAGenerationHasHaveComeWhateverIsOutstanding) {
  CmaEs search({.box = Cube(4, -5, 5)}, {.population_size = 6});
  std::vector<Proposal> asked;
  for (int i = 0; i < 20; ++i) asked.push_back(search.Ask());
  for (const int i : {19, 3, 8, 0, 11}) search.Tell(asked[static_cast<std::size_t>(i)].id, Low(i));
  EXPECT_EQ(search.status().generation, 0);
  search.Tell(asked[5].id, Low(5));
  EXPECT_EQ(search.status().generation, 1);
  for (const int i : {1, 2, 4, 6, 7, 9}) search.Tell(asked[static_cast<std::size_t>(i)].id, Low(i));
  EXPECT_EQ(search.status().generation, 2);  // one update late: counted
  for (const int i : {10, 12, 13, 14, 15, 16, 17, 18})
    search.Tell(asked[static_cast<std::size_t>(i)].id, Low(i));
  EXPECT_EQ(search.status().generation, 2);  // two updates late: not
}

TEST(CmaEs, ALateResultMovesTheMeanNoFurtherThanAnInjectedSolutionMay) {
  CmaEs search({.box = Cube(1, 0, 1)}, {.population_size = 4, .initial_step_size = 0.05});
  std::vector<Proposal> asked;
  for (int i = 0; i < 200; ++i) asked.push_back(search.Ask());
  std::sort(asked.begin(), asked.end(), [](const auto& a, const auto& b) { return a.point < b.point; });
  for (std::size_t i = 0; i < 4; ++i) search.Tell(asked[i].id, Low(static_cast<double>(i)));
  const double mean = search.Recommended()[0], deviation = search.SpreadLeft();
  EXPECT_LT(mean, 0.42);
  for (std::size_t i = 196; i < 200; ++i) search.Tell(asked[i].id, Low(static_cast<double>(i)));
  EXPECT_EQ(search.status().generation, 2);
  EXPECT_GT(search.Recommended()[0], mean);
  EXPECT_LE(search.Recommended()[0], mean + deviation * (1 + 2.0 / 3) + 1e-12);
}

TEST(CmaEs, ResultsFromBeforeARestartTeachTheNewRunNothing) {
  CmaEs search({.box = Cube(2, 0, 1)}, {.population_size = 6, .restarts = "ipop", .max_delay = 50});
  Proposal last = search.Ask();
  while (search.status().restarts == 0) {
    search.Tell(std::exchange(last, search.Ask()).id, Low(1));  // flat: ends soon
    ASSERT_LT(search.num_told(), 1000u);
  }
  search.Tell(last.id, Low(0));
  for (int i = 0; i < 11; ++i) search.Tell(search.Ask().id, Low(i));
  EXPECT_EQ(search.status().generation, 0);
  search.Tell(search.Ask().id, Low(1));
  EXPECT_EQ(search.status().generation, 1);
}

TEST(CmaEs, BeginsAtTheBestStartPoint) {
  CmaEs search({.box = Cube(2, -5, 5), .start_points = {{3, 3}, {1, -1}, {-4, 2}}},
               {.initial_step_size = 1e-3});
  for (int i = 0; i < 3; ++i) search.Ask();
  EXPECT_NEAR(search.Ask().point[0], 3, 0.1);  // nothing is known: around the first
  search.Tell(2, Low(17));
  EXPECT_NEAR(search.Ask().point[0], -4, 0.1);
  search.Tell(0, Failure());
  search.Tell(1, Low(2));
  EXPECT_NEAR(search.Ask().point[0], 1, 0.1);
}

TEST(CmaEs, CountsWhatWasDrawnAroundTheStartPointThatProvesBest) {
  CmaEs search(From(2, 3, 1), {.population_size = 6});
  for (int i = 0; i < 7; ++i) search.Ask();
  for (std::uint64_t id = 1; id < 7; ++id) search.Tell(id, Low(static_cast<double>(id)));
  EXPECT_EQ(search.status().generation, 0);
  search.Tell(0, Low(100));
  EXPECT_EQ(search.status().generation, 1);
}

TEST(CmaEs, GoesAroundWhereEvaluationsFail) {
  // Half of the plane fails, the start among it is not far from the border.
  CmaEs search(From(2, 0.5, 1), {});
  for (int i = 0; i < 600; ++i) {
    const Proposal proposal = search.Ask();
    search.Tell(proposal.id, proposal.point[0] > 1
                                 ? Failure()
                                 : Low(std::pow(proposal.point[0] - 2, 2) + std::pow(proposal.point[1], 2)));
  }
  EXPECT_NEAR(search.best_seen()->proposal.point[0], 1, 1e-3);
  EXPECT_NEAR(search.best_seen()->proposal.point[1], 0, 2e-2);
}

TEST(CmaEs, LearnsNothingFromAGenerationThatFailed) {
  CmaEs search(From(3, 2, 1), {});
  for (int i = 0; i < 200; ++i) search.Tell(search.Ask().id, Failure());
  EXPECT_EQ(search.status().generation, 0);
  EXPECT_EQ(search.status().step_size, 0.2);
  EXPECT_FALSE(search.best_seen().has_value());
  EXPECT_THAT(search.Recommended(), Each(testing::DoubleNear(2, 1e-12)));
}

TEST(CmaEs, KeepsToWhatIsAllowed) {
  CmaEs search(From(2, 3, 1), {});
  for (int i = 0; i < 800; ++i) {
    const Proposal proposal = search.Ask();
    Outcome outcome = Low(Sphere(proposal.point));
    outcome.violation = std::max(0.0, 1 - proposal.point[0] - proposal.point[1]);
    search.Tell(proposal.id, outcome);
  }
  EXPECT_EQ(search.best_seen()->outcome.violation, 0);
  EXPECT_NEAR(search.best_seen()->outcome.objectives[0], -0.5, 1e-2);  // at (0.5, 0.5)
}

TEST(CmaEs, WidensOnAPlateau) {
  CmaEs search(From(3, 2, 1), {.initial_step_size = 0.01});
  RunInTurn(
      search, [](std::span<const double>) { return 1.0; }, 100);
  EXPECT_GT(search.status().step_size, 0.05);
}

TEST(CmaEs, WorksWithTheSmallestPopulation) {
  CmaEs search(From(2, 2, 1), {.population_size = 1});
  EXPECT_EQ(search.status().population_size, 2);
  RunInTurn(search, Sphere, 400);
  EXPECT_LT(Sphere(search.Recommended()), 1e-3);
}

TEST(CmaEs, MirroredSamplesStandOppositeEachOther) {
  CmaEs search(From(5, 1, 1), {.initial_step_size = 0.05, .mirrored_sampling = true});
  search.Ask();
  for (int pair = 0; pair < 4; ++pair) {
    const Proposal a = search.Ask(), b = search.Ask();
    EXPECT_NE(a.point, b.point);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(a.point[i] + b.point[i], 2, 1e-12);
  }
}

TEST(CmaEs, SamplesAreNormalWithTheGivenStepSize) {
  CmaEs search({.box = Cube(3, 0, 10)}, {.initial_step_size = 0.05});
  constexpr int kCount = 6000;
  double sum = 0, square = 0;
  int within_one = 0;
  for (int i = 0; i < kCount; ++i)
    for (const double value : search.Ask().point) {
      const double z = (value - 5) / 0.5;
      sum += z;
      square += z * z;
      within_one += std::abs(z) < 1;
    }
  constexpr double kValues = 3 * kCount;  // bounds: four standard errors
  EXPECT_NEAR(sum / kValues, 0, 4 / std::sqrt(kValues));
  EXPECT_NEAR(square / kValues, 1, 4 * std::sqrt(2 / kValues));
  EXPECT_NEAR(within_one / kValues, 0.6827, 4 * 0.466 / std::sqrt(kValues));
}

TEST(CmaEs, WorksInTwoHundredDimensions) {
  CmaEs search(From(200, 1, 1), {.initial_step_size = 0.02});
  RunInTurn(search, Sphere, 4000);
  EXPECT_LT(Sphere(search.Recommended()), 60);  // from 200
}

}  // namespace
}  // namespace forge::evolve
