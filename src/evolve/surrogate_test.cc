// SPDX-License-Identifier: Apache-2.0
#include "evolve/surrogate.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "evolve/cma_es.h"
#include "evolve/nsga2.h"
#include "evolve/testing_functions.h"

namespace forge::evolve {
namespace {

TEST(KendallTau, EqualsPairsCountedByHand) {
  EXPECT_DOUBLE_EQ(KendallTau(std::vector<double>{1, 2, 3}, std::vector<double>{10, 20, 30}), 1);
  EXPECT_DOUBLE_EQ(KendallTau(std::vector<double>{1, 2, 3}, std::vector<double>{3, 2, 1}), -1);
  // Pairs: 12 agree, 13 agree, 14 agree, 23 do not, 24 agree, 34 agree: (5 - 1) / 6.
  EXPECT_DOUBLE_EQ(KendallTau(std::vector<double>{1, 2, 3, 4}, std::vector<double>{1, 3, 2, 4}), 4.0 / 6);
  EXPECT_DOUBLE_EQ(KendallTau(std::vector<double>{1, 2}, std::vector<double>{5, 5}), 0);
  EXPECT_DOUBLE_EQ(KendallTau(std::vector<double>{1}, std::vector<double>{5}), 0);
}

struct Samples {
  std::vector<std::vector<double>> points;
  std::vector<double> values;
};

Samples Sampled(int count, std::size_t dimensions, const Function& function) {
  Samples samples;
  const Box box = Cube(dimensions, -100, 300);  // far from unit scale
  for (int i = 0; i < count; ++i) {
    Random random(2, "testing/samples", static_cast<std::uint64_t>(i));
    samples.points.push_back(box.RandomPoint(random));
    samples.values.push_back(function(samples.points.back()));
  }
  return samples;
}

double LargestError(const QuadraticModel& model, const Samples& fresh) {
  double error = 0;
  for (std::size_t i = 0; i < fresh.points.size(); ++i)
    error = std::max(error, std::abs(model.Predict(fresh.points[i]) - fresh.values[i]));
  return error;
}

TEST(QuadraticModel, GrowsWithThePointsAndIsExactOnItsOwnKind) {
  const Function plane = [](std::span<const double> x) { return 5 + 2 * x[0] - x[3]; };
  const Function squares = [&](std::span<const double> x) { return plane(x) + 0.1 * x[1] * x[1]; };
  const Function full = [&](std::span<const double> x) { return squares(x) - 0.2 * x[0] * x[2]; };
  // In 4 dimensions: 5, 9 and 15 coefficients, from 2, 10 and 17 points on. Ranges of the values are about
  // 1e3 to 3e4; the ridge costs about 1e-6 of that.
  struct Expected {
    const Function& function;
    int points;
    std::size_t coefficients;
    double error;
  };
  for (const auto& [function, points, coefficients, error] :
       {Expected{plane, 9, 5, 0.01}, Expected{squares, 16, 9, 0.1}, Expected{full, 40, 15, 0.3}}) {
    const Samples samples = Sampled(points, 4, function);
    const QuadraticModel model(samples.points, samples.values);
    EXPECT_EQ(model.num_coefficients(), coefficients);
    EXPECT_LT(LargestError(model, Sampled(100, 4, function)), error);
  }
}

TEST(QuadraticModel, StaysFiniteWhereThePointsSayNothing) {
  const std::vector<std::vector<double>> same(20, std::vector<double>{1, 2});
  EXPECT_NEAR(QuadraticModel(same, std::vector<double>(20, 7.0)).Predict(std::vector<double>{3, 4}), 7, 1e-9);
  EXPECT_EQ(QuadraticModel::MostPoints(10), 132u);
  EXPECT_EQ(QuadraticModel::MostPoints(60), 242u);  // the full form would have 1891 coefficients
}

std::unique_ptr<CmaEs> Inner(std::size_t dimensions, std::uint64_t seed) {
  return std::make_unique<CmaEs>(
      SearchOptions{
          .box = Cube(dimensions, -5, 5), .start_points = {std::vector<double>(dimensions, 3)}, .seed = seed},
      CmaEsConfig{});
}

double MedianEvaluations(const Function& function, const SurrogateConfig& config, double target, int limit) {
  return MedianOverSeeds(5, [&](std::uint64_t seed) {
    SurrogateSearch search(Inner(5, seed), config);
    return EvaluationsUntil(search, function, target, limit);
  });
}

TEST(SurrogateSearch, SavesMoreThanAThirdOfTheEvaluationsOnSmoothFunctions) {
  for (const Function& function : {Function(Rosenbrock), Function(Ellipsoid)})
    EXPECT_LT(MedianEvaluations(function, {}, 1e-6, 5000),
              0.65 * MedianEvaluations(function, {.candidates = 1}, 1e-6, 5000));
}

TEST(SurrogateSearch, CostsNothingWhereItCannotPredict) {
  // White noise over the box: tau is small, the gate stays shut, and every proposal is evaluated.
  SurrogateSearch search(Inner(5, 1), {});
  int open = 0;
  RunInTurn(
      search,
      [&](std::span<const double> x) {
        open += search.IsOpen();
        return Random(StableHash({reinterpret_cast<const char*>(x.data()), x.size_bytes()}), "noise")
            .Uniform();
      },
      600);
  EXPECT_LT(open, 12);
  EXPECT_LT(search.Correlation(), 0.6);
}

TEST(SurrogateSearch, OpensWhenItsPredictionsComeTrueAndShutsWhenTheyDoNot) {
  SurrogateSearch search(Inner(3, 1), {});
  EXPECT_FALSE(search.IsOpen());
  RunInTurn(search, Sphere, 80);
  EXPECT_TRUE(search.IsOpen());
  EXPECT_GT(search.Correlation(), 0.8);
  for (std::uint64_t i = 0; i < 40; ++i)
    search.Tell(search.Ask().id, Low(Random(1, "testing/noise", i).Uniform()));
  EXPECT_FALSE(search.IsOpen());
}

TEST(SurrogateSearch, TheBestSeenIsNeverAPrediction) {
  SurrogateSearch search(Inner(5, 1), {.candidates = 16});
  double best = -1e300;
  for (int i = 0; i < 300; ++i) {
    const Proposal proposal = search.Ask();
    best = std::max(best, -Rosenbrock(proposal.point));
    search.Tell(proposal.id, Low(Rosenbrock(proposal.point)));
  }
  EXPECT_EQ(search.best_seen()->outcome.objectives[0], best);
  EXPECT_EQ(search.num_told(), 300u);
}

TEST(SurrogateSearch, RefusesSeveralObjectives) {
  SurrogateSearch search(std::make_unique<Nsga2>(SearchOptions{.box = Cube(2, 0, 1)}, Nsga2Config{}), {});
  const Proposal proposal = search.Ask();
  EXPECT_THROW(search.Tell(proposal.id, {.objectives = {1, 2}}), Error);
  EXPECT_THROW(SurrogateSearch(Inner(2, 1), {.candidates = 0}), Error);
}

}  // namespace
}  // namespace forge::evolve
