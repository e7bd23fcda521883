// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_learning_rate.h"

#include <algorithm>
#include <cmath>

namespace forge::evolve {
namespace {

// The paper's recommended values.
constexpr double kTargetRatio = 1.4;        // alpha
constexpr double kMeanMemory = 0.1;         // beta_m
constexpr double kCovarianceMemory = 0.03;  // beta_Sigma
constexpr double kRateChange = 0.1;         // gamma
constexpr double kLowestRate = 1e-4;

/// The next rate, from |E|^2 and V.
double NextRate(double rate, double squared_average, double average_square, double memory) {
  const double noise = average_square - squared_average;
  const double signal = squared_average - memory / (2 - memory) * average_square;
  const double ratio = noise > 0 ? signal / noise : 0;
  const double change = std::clamp(ratio / (kTargetRatio * rate) - 1, -1.0, 1.0);
  return std::clamp(rate * std::exp(std::min(kRateChange * rate, memory) * change), kLowestRate, 1.0);
}

}  // namespace

LearningRateAdaptation::LearningRateAdaptation(int dimension)
    : mean_average_(Eigen::VectorXd::Zero(dimension)),
      covariance_average_(Eigen::MatrixXd::Zero(dimension, dimension)) {}

void LearningRateAdaptation::Observe(const Eigen::VectorXd& mean_change,
                                     const Eigen::MatrixXd& covariance_change) {
  mean_average_ += kMeanMemory * (mean_change - mean_average_);
  mean_square_ += kMeanMemory * (mean_change.squaredNorm() - mean_square_);
  // The Fisher metric of the covariance is half the Frobenius one; the half cancels in the ratio.
  covariance_average_ += kCovarianceMemory * (covariance_change - covariance_average_);
  covariance_square_ += kCovarianceMemory * (covariance_change.squaredNorm() - covariance_square_);
  mean_rate_ = NextRate(mean_rate_, mean_average_.squaredNorm(), mean_square_, kMeanMemory);
  covariance_rate_ =
      NextRate(covariance_rate_, covariance_average_.squaredNorm(), covariance_square_, kCovarianceMemory);
}

}  // namespace forge::evolve
