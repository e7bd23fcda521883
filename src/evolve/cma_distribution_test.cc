// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_distribution.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/philox.h"

namespace forge::evolve {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// By hand for n = 2, lambda = 4: w' = ln 2.5 - ln i = 0.9163, 0.2231, -0.1823, -0.4700. mu = 2: weights
// 0.8042, 0.1958; mu_w = 1.1394^2 / (0.8396 + 0.0498) = 1.4597.
TEST(CmaParameters, EqualTheTutorialsForTwoDimensions) {
  const CmaParameters p = MakeCmaParameters(2, 4, true);
  EXPECT_NEAR(p.weights[0], 0.8042, 1e-4);
  EXPECT_NEAR(p.weights[1], 0.1958, 1e-4);
  EXPECT_NEAR(p.mu_effective, 1.4597, 1e-4);
  EXPECT_NEAR(p.path_rate_step, 3.4597 / 8.4597, 1e-4);
  EXPECT_NEAR(p.path_rate_covariance, (4 + 0.7299) / (6 + 1.4597), 1e-4);
  EXPECT_NEAR(p.rank_one_rate, 2 / (3.3 * 3.3 + 1.4597), 1e-5);
  EXPECT_NEAR(p.rank_mu_rate, 2 * (0.25 + 1.4597 + 1 / 1.4597 - 2) / (16 + 1.4597), 1e-5);
  EXPECT_NEAR(p.damping, 1 + p.path_rate_step, 1e-12);
  EXPECT_NEAR(p.expected_norm, std::sqrt(std::acos(-1) / 2), 5e-3);  // E |N(0, I_2)| = sqrt(pi / 2)
}

TEST(CmaParameters, PositiveWeightsSumToOneAndNegativeOnesKeepTheCovariancePositive) {
  for (const int n : {1, 2, 5, 10, 40, 200})
    for (const int size : {2, 4, 5, DefaultPopulationSize(n), 4 * n + 10}) {
      const CmaParameters p = MakeCmaParameters(n, size, true);
      EXPECT_NEAR(p.weights.head(p.num_parents).sum(), 1, 1e-12);
      for (int i = 1; i < size; ++i) EXPECT_LE(p.weights[i], p.weights[i - 1]);
      const double negative = -p.weights.cwiseMin(0).sum();
      // Each negative term takes away at most n of the unit covariance in one direction.
      EXPECT_LE(p.rank_one_rate + p.rank_mu_rate + n * p.rank_mu_rate * negative, 1 + 1e-12)
          << n << " " << size;
      EXPECT_LE(p.rank_one_rate + p.rank_mu_rate, 1 + 1e-12);
      EXPECT_EQ(MakeCmaParameters(n, size, false).weights.cwiseMin(0).sum(), 0);
    }
}

TEST(CmaParameters, DefaultPopulationsAreTheTutorials) {
  EXPECT_EQ(DefaultPopulationSize(1), 4);
  EXPECT_EQ(DefaultPopulationSize(2), 6);
  EXPECT_EQ(DefaultPopulationSize(10), 10);
  EXPECT_EQ(DefaultPopulationSize(200), 19);
}

MatrixXd RandomSteps(const CmaDistribution& distribution, std::uint64_t index) {
  Random random(5, "testing/steps", index);
  const CmaParameters& p = distribution.parameters();
  MatrixXd steps(p.dimension, p.population_size);
  for (int i = 0; i < p.population_size; ++i) {
    VectorXd z(p.dimension);
    for (double& value : z) value = random.Normal();
    steps.col(i) = distribution.Step(z);
  }
  return steps;
}

TEST(CmaDistribution, KeepsItsSizeWhereSelectionIsBlind) {
  // ln(sigma) is a random walk without drift: after 300 generations its mean over runs is near 0.
  double sum = 0;
  constexpr int kRuns = 40;
  for (int run = 0; run < kRuns; ++run) {
    CmaDistribution distribution(VectorXd::Zero(5), 1, MakeCmaParameters(5, 8, true));
    for (int i = 0; i < 300; ++i)
      distribution.Update(RandomSteps(distribution, static_cast<std::uint64_t>(run * 300 + i)), nullptr);
    sum += std::log(distribution.step_size());
  }
  EXPECT_NEAR(sum / kRuns, 0, 0.8);
}

/// Forty generations, each ranked by `cost` of the step, lowest first.
CmaDistribution AfterSelection(const std::function<double(const VectorXd&)>& cost) {
  CmaDistribution distribution(VectorXd::Zero(3), 0.5, MakeCmaParameters(3, 8, true));
  for (std::uint64_t i = 0; i < 40; ++i) {
    const MatrixXd steps = RandomSteps(distribution, i);
    std::vector<VectorXd> ranked;
    for (Eigen::Index k = 0; k < 8; ++k) ranked.emplace_back(steps.col(k));
    std::sort(ranked.begin(), ranked.end(),
              [&](const VectorXd& a, const VectorXd& b) { return cost(a) < cost(b); });
    MatrixXd sorted(3, 8);
    for (Eigen::Index k = 0; k < 8; ++k) sorted.col(k) = ranked[static_cast<std::size_t>(k)];
    distribution.Update(sorted, nullptr);
  }
  return distribution;
}

TEST(CmaDistribution, MovesToTheBestAndWidensOnASlope) {
  const CmaDistribution distribution = AfterSelection([](const VectorXd& step) { return -step[0]; });
  EXPECT_GT(distribution.mean()[0], 1000);
  EXPECT_GT(distribution.step_size(), 1000);
}

TEST(CmaDistribution, NarrowsWhereSelectionIsAndStaysWideWhereItIsNot) {
  const CmaDistribution distribution =
      AfterSelection([](const VectorXd& step) { return std::abs(step[1]) + std::abs(step[2]); });
  const VectorXd deviations = distribution.Deviations();
  EXPECT_GT(deviations[0], 5 * deviations[1]);
  EXPECT_GT(deviations[0], 5 * deviations[2]);
}

TEST(CmaDistribution, WhiteningUndoesStep) {
  CmaDistribution distribution(VectorXd::Zero(4), 1, MakeCmaParameters(4, 8, true));
  for (std::uint64_t i = 0; i < 20; ++i) distribution.Update(RandomSteps(distribution, i), nullptr);
  const VectorXd z = VectorXd::LinSpaced(4, -1, 2);
  EXPECT_NEAR(distribution.Whitened(distribution.Step(z)).norm(), z.norm(), 1e-10);
  EXPECT_GT(distribution.ConditionNumber(), 1);
}

TEST(CmaDistribution, LimitsTheDeviationOfTheDimensionsThatAreTooWide) {
  CmaDistribution distribution(VectorXd::Zero(2), 1, MakeCmaParameters(2, 6, true));
  distribution.LimitDeviations(2);
  EXPECT_EQ(distribution.Deviations(), VectorXd::Ones(2));
  distribution.LimitDeviations(0.25);
  EXPECT_NEAR(distribution.Deviations()[0], 0.25, 1e-12);
  EXPECT_EQ(distribution.step_size(), 1);
  CmaDistribution uneven =
      AfterSelection([](const VectorXd& step) { return std::abs(step[1]) + std::abs(step[2]); });
  const VectorXd before = uneven.Deviations();
  uneven.LimitDeviations(2 * before[1]);
  EXPECT_NEAR(uneven.Deviations()[0], 2 * before[1], 1e-12 * before[0]);
  EXPECT_NEAR(uneven.Deviations()[1], before[1], 1e-12 * before[1]);
}

TEST(CmaDistribution, IsNotBroughtDownByStepsThatAreNotNumbers) {
  CmaDistribution distribution(VectorXd::Zero(2), 1, MakeCmaParameters(2, 6, true));
  distribution.Update(MatrixXd::Constant(2, 6, std::nan("")), nullptr);
  EXPECT_EQ(distribution.ConditionNumber(), std::numeric_limits<double>::infinity());
}

// After the first change, of length 1: |E|^2 = beta^2, V = beta, SNR = (beta^2 - beta^2 / (2 - beta)) / (beta
// - beta^2) = beta / (2 - beta). The change is SNR / 1.4 - 1 times min(gamma, beta).
TEST(LearningRateAdaptation, EqualsTheFirstStepWorkedByHand) {
  LearningRateAdaptation adaptation(2);
  adaptation.Observe(VectorXd::Unit(2, 0), MatrixXd::Identity(2, 2) / std::sqrt(2));
  EXPECT_NEAR(adaptation.mean_rate(), std::exp(0.1 * (0.1 / 1.9 / 1.4 - 1)), 1e-12);
  EXPECT_NEAR(adaptation.covariance_rate(), std::exp(0.03 * (0.03 / 1.97 / 1.4 - 1)), 1e-12);
}

TEST(LearningRateAdaptation, ReturnsToOneOnAStraightWayAndFallsInNoise) {
  LearningRateAdaptation straight(3), noise(3);
  Random random(1, "testing/noise");
  const auto any = [&] { return VectorXd::NullaryExpr(3, [&] { return random.Normal(); }).eval(); };
  for (int i = 0; i < 2000; ++i) {
    straight.Observe(VectorXd::Unit(3, 1), MatrixXd::Identity(3, 3));
    noise.Observe(any(), any().asDiagonal());
  }
  EXPECT_EQ(straight.mean_rate(), 1);
  EXPECT_EQ(straight.covariance_rate(), 1);
  EXPECT_LT(noise.mean_rate(), 0.1);
  EXPECT_LT(noise.covariance_rate(), 0.1);
  EXPECT_GE(noise.mean_rate(), 1e-4);
}

}  // namespace
}  // namespace forge::evolve
