// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Dense>

#include "evolve/cma_learning_rate.h"

namespace forge::evolve {

/// Constants of a CMA-ES with `population_size` samples a generation in `dimension` dimensions: Hansen 2016,
/// arXiv:1604.00772, table 1 with c_m = 1 and alpha_cov = 2 (equations 49 to 58).
struct CmaParameters {
  int dimension, population_size;
  int num_parents;  // mu: samples with a positive weight
  Eigen::VectorXd
      weights;          // [population_size], best first; positive ones sum to 1, negative ones only if active
  double mu_effective;  // variance-effective number of parents
  double path_rate_step;        // c_sigma
  double damping;               // d_sigma
  double path_rate_covariance;  // c_c
  double rank_one_rate;         // c_1
  double rank_mu_rate;          // c_mu
  double expected_norm;         // E |N(0, I)|
};
CmaParameters MakeCmaParameters(int dimension, int population_size, bool active_weights);

/// 4 + floor(3 ln n): Hansen 2016, table 1.
int DefaultPopulationSize(int dimension);

/// The search distribution N(mean, step_size^2 C) and how a ranked generation changes it.
class CmaDistribution {
 public:
  CmaDistribution(Eigen::VectorXd mean, double step_size, CmaParameters parameters);

  /// C^(1/2) z, so that the sample of a standard normal z is mean + step_size * Step(z).
  Eigen::VectorXd Step(const Eigen::VectorXd& z) const;

  /// C^(-1/2) step: its norm is the Mahalanobis length.
  Eigen::VectorXd Whitened(const Eigen::VectorXd& step) const;

  /// One generation (Hansen 2016, equations 41 to 47). steps [dimension, population_size]: a column for each
  /// sample, best first, (x - mean) / step_size. With `adaptation`, the change of mean and covariance is
  /// scaled by its learning rates (cma_learning_rate.h).
  void Update(const Eigen::MatrixXd& steps, LearningRateAdaptation* adaptation);

  /// Multiplies the step size.
  void Widen(double factor) { step_size_ *= factor; }
  /// Scales down the dimensions whose standard deviation is above `limit`.
  void LimitDeviations(double limit);
  void MoveTo(Eigen::VectorXd mean) { mean_ = std::move(mean); }

  const Eigen::VectorXd& mean() const { return mean_; }
  double step_size() const { return step_size_; }
  const CmaParameters& parameters() const { return parameters_; }
  /// Standard deviation of each dimension.
  Eigen::VectorXd Deviations() const;
  /// Largest of Deviations() and of step_size * |path|: how far the next steps can go.
  double Reach() const;
  /// Of C; infinity if C is no longer positive definite in floating point.
  double ConditionNumber() const;

 private:
  void UpdatePaths(const Eigen::VectorXd& mean_step);
  void UpdateCovariance(const Eigen::MatrixXd& steps);
  void Decompose();
  CmaParameters parameters_;
  Eigen::VectorXd mean_;
  double step_size_;
  Eigen::MatrixXd covariance_;                   // C
  Eigen::MatrixXd axes_;                         // eigenvectors of C, columns
  Eigen::VectorXd lengths_;                      // square roots of its eigenvalues
  Eigen::VectorXd step_path_, covariance_path_;  // p_sigma, p_c
  bool path_is_short_ = true;                    // h_sigma
  bool is_degenerate_ = false;
  int generation_ = 0;
};

}  // namespace forge::evolve
