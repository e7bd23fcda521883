// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Dense>

namespace forge::evolve {

/// Learning rates of CMA-ES that follow the signal-to-noise ratio of its updates: LRA-CMA-ES, Nomura, Akimoto
/// and Ono 2024, arXiv:2401.15876. Keeps running means E of the update and V of its squared norm,
/// both in the coordinates where the distribution is N(0, I) and the Fisher metric is Euclidean, estimates
///   SNR = (|E|^2 - beta / (2 - beta) V) / (V - |E|^2)
/// and moves each rate eta towards SNR = alpha * eta; the rates lie in (0, 1], and are 1 at the start.
///
/// Where we differ: a floor of 1e-4 under the rates. Below it a run would not move within any budget here,
/// and sigma, which is multiplied by the inverse of a change of the rate, would overflow.
class LearningRateAdaptation {
 public:
  explicit LearningRateAdaptation(int dimension);

  /// mean_change = Sigma^(-1/2) (new - old mean), [n]; covariance_change = Sigma^(-1/2) (new - old Sigma)
  /// Sigma^(-1/2), [n, n]; Sigma is the old covariance, step size included. Sets the rates to use for this
  /// change. O(n^2).
  void Observe(const Eigen::VectorXd& mean_change, const Eigen::MatrixXd& covariance_change);

  double mean_rate() const { return mean_rate_; }
  double covariance_rate() const { return covariance_rate_; }

 private:
  Eigen::VectorXd mean_average_;
  Eigen::MatrixXd covariance_average_;
  double mean_square_ = 0, covariance_square_ = 0;  // running means of the squared norms
  double mean_rate_ = 1, covariance_rate_ = 1;
};

}  // namespace forge::evolve
