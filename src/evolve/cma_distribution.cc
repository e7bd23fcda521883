// SPDX-License-Identifier: Apache-2.0
#include "evolve/cma_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace forge::evolve {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// (sum w)^2 / sum w^2 of part of the weights.
double EffectiveNumber(const VectorXd& weights) {
  const double sum = weights.sum();
  return weights.size() == 0 ? 0 : sum * sum / weights.squaredNorm();
}

/// Equations 49 to 53: positive weights of sum 1, negative ones as large as keeps C positive definite.
void SetWeights(CmaParameters& p, const VectorXd& raw, bool active_weights) {
  const double n = p.dimension;
  p.weights = raw;
  p.weights.head(p.num_parents) /= raw.head(p.num_parents).sum();
  auto negative = p.weights.tail(p.population_size - p.num_parents);
  if (!active_weights || p.rank_mu_rate <= 0) {
    negative.setZero();
    return;
  }
  const double effective = EffectiveNumber(raw.tail(p.population_size - p.num_parents));
  const double limit =
      std::min({1 + p.rank_one_rate / p.rank_mu_rate, 1 + 2 * effective / (p.mu_effective + 2),
                (1 - p.rank_one_rate - p.rank_mu_rate) / (n * p.rank_mu_rate)});
  const double total = -negative.sum();
  if (total > 0) negative *= limit / total;
}

}  // namespace

int DefaultPopulationSize(int dimension) { return 4 + static_cast<int>(3 * std::log(dimension)); }

CmaParameters MakeCmaParameters(int dimension, int population_size, bool active_weights) {
  FORGE_CHECK(dimension >= 1 && population_size >= 2);
  CmaParameters p{
      .dimension = dimension, .population_size = population_size, .num_parents = population_size / 2};
  const double n = dimension;
  VectorXd raw(population_size);
  for (int i = 0; i < population_size; ++i)
    raw[i] = std::log((population_size + 1) / 2.0) - std::log(i + 1.0);
  p.mu_effective = EffectiveNumber(raw.head(p.num_parents));
  const double mu = p.mu_effective;
  p.path_rate_step = (mu + 2) / (n + mu + 5);
  p.damping = 1 + 2 * std::max(0.0, std::sqrt((mu - 1) / (n + 1)) - 1) + p.path_rate_step;
  p.path_rate_covariance = (4 + mu / n) / (n + 4 + 2 * mu / n);
  p.rank_one_rate = 2 / ((n + 1.3) * (n + 1.3) + mu);
  p.rank_mu_rate = std::min(1 - p.rank_one_rate, 2 * (0.25 + mu + 1 / mu - 2) / ((n + 2) * (n + 2) + mu));
  p.expected_norm = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
  SetWeights(p, raw, active_weights);
  return p;
}

CmaDistribution::CmaDistribution(VectorXd mean, double step_size, CmaParameters parameters)
    : parameters_(std::move(parameters)),
      mean_(std::move(mean)),
      step_size_(step_size),
      covariance_(MatrixXd::Identity(mean_.size(), mean_.size())),
      axes_(covariance_),
      lengths_(VectorXd::Ones(mean_.size())),
      step_path_(VectorXd::Zero(mean_.size())),
      covariance_path_(step_path_) {}

VectorXd CmaDistribution::Step(const VectorXd& z) const { return axes_ * lengths_.cwiseProduct(z); }

VectorXd CmaDistribution::Whitened(const VectorXd& step) const {
  return axes_ * (axes_.transpose() * step).cwiseQuotient(lengths_);
}

void CmaDistribution::Update(const MatrixXd& steps, LearningRateAdaptation* adaptation) {
  FORGE_CHECK(steps.cols() == parameters_.population_size && steps.rows() == parameters_.dimension);
  const VectorXd mean_step =
      steps.leftCols(parameters_.num_parents) * parameters_.weights.head(parameters_.num_parents);
  const double old_step_size = step_size_;
  const MatrixXd old_covariance = covariance_;
  UpdatePaths(mean_step);
  UpdateCovariance(steps);
  if (adaptation == nullptr) {
    mean_ += old_step_size * mean_step;
    Decompose();
    return;
  }
  // The full covariance, step size included, moves by its rate; then it is split again.
  const double ratio = step_size_ / old_step_size;
  const MatrixXd change = ratio * ratio * covariance_ - old_covariance;  // in units of old_step_size^2
  const MatrixXd whiten = axes_ * lengths_.cwiseInverse().asDiagonal() * axes_.transpose();
  const double old_mean_rate = adaptation->mean_rate();
  adaptation->Observe(whiten * mean_step, whiten * change * whiten);
  mean_ += adaptation->mean_rate() * old_step_size * mean_step;
  covariance_ = old_covariance + adaptation->covariance_rate() * change;
  step_size_ = old_step_size;
  Decompose();
  if (is_degenerate_) return;
  const double scale = std::exp(lengths_.array().log().mean());  // det(C) = 1 afterwards
  covariance_ /= scale * scale;
  lengths_ /= scale;
  covariance_path_ /= scale;
  // Step-size correction: the best sigma is about proportional to 1 / rate of the mean.
  step_size_ *= scale * old_mean_rate / adaptation->mean_rate();
}

/// Equations 43 to 45.
void CmaDistribution::UpdatePaths(const VectorXd& mean_step) {
  const CmaParameters& p = parameters_;
  ++generation_;
  step_path_ = (1 - p.path_rate_step) * step_path_ +
               std::sqrt(p.path_rate_step * (2 - p.path_rate_step) * p.mu_effective) * Whitened(mean_step);
  const double norm = step_path_.norm();
  path_is_short_ = norm / std::sqrt(1 - std::pow(1 - p.path_rate_step, 2 * generation_)) <
                   (1.4 + 2.0 / (p.dimension + 1)) * p.expected_norm;
  step_size_ *= std::exp(std::min(1.0, p.path_rate_step / p.damping * (norm / p.expected_norm - 1)));
  covariance_path_ *= 1 - p.path_rate_covariance;
  if (path_is_short_)
    covariance_path_ +=
        std::sqrt(p.path_rate_covariance * (2 - p.path_rate_covariance) * p.mu_effective) * mean_step;
}

/// Equations 46 and 47.
void CmaDistribution::UpdateCovariance(const MatrixXd& steps) {
  const CmaParameters& p = parameters_;
  VectorXd weights = p.weights;
  for (int i = p.num_parents; i < p.population_size; ++i)  // negative: of unit Mahalanobis length sqrt(n)
    if (weights[i] < 0) weights[i] *= p.dimension / std::max(Whitened(steps.col(i)).squaredNorm(), 1e-300);
  const double lost = path_is_short_ ? 0 : p.path_rate_covariance * (2 - p.path_rate_covariance);
  covariance_ *= 1 + p.rank_one_rate * lost - p.rank_one_rate - p.rank_mu_rate * p.weights.sum();
  covariance_ += p.rank_one_rate * covariance_path_ * covariance_path_.transpose();
  covariance_ += p.rank_mu_rate * steps * weights.asDiagonal() * steps.transpose();
}

void CmaDistribution::Decompose() {
  covariance_ = (0.5 * (covariance_ + covariance_.transpose())).eval();
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(covariance_);
  const double largest = solver.eigenvalues().maxCoeff();
  is_degenerate_ = solver.info() != Eigen::Success || !(solver.eigenvalues().minCoeff() > 1e-20 * largest);
  if (is_degenerate_) return;  // axes and lengths stay as they were: sampling goes on, the run ends
  axes_ = solver.eigenvectors();
  lengths_ = solver.eigenvalues().cwiseSqrt();
}

void CmaDistribution::LimitDeviations(double limit) {
  const VectorXd deviations = Deviations();
  if (!(deviations.maxCoeff() > limit)) return;
  const VectorXd scale = (limit / deviations.array()).min(1.0);
  covariance_ = (scale.asDiagonal() * covariance_ * scale.asDiagonal()).eval();
  covariance_path_ = covariance_path_.cwiseProduct(scale).eval();
  Decompose();
}

VectorXd CmaDistribution::Deviations() const { return step_size_ * covariance_.diagonal().cwiseSqrt(); }

double CmaDistribution::Reach() const {
  return std::max(Deviations().maxCoeff(), step_size_ * covariance_path_.cwiseAbs().maxCoeff());
}

double CmaDistribution::ConditionNumber() const {
  if (is_degenerate_) return std::numeric_limits<double>::infinity();
  const double ratio = lengths_.maxCoeff() / lengths_.minCoeff();
  return ratio * ratio;
}

}  // namespace forge::evolve
