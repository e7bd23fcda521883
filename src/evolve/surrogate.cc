// SPDX-License-Identifier: Apache-2.0
#include "evolve/surrogate.h"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace forge::evolve {
namespace {

constexpr std::size_t kMostCoefficients = 600;
constexpr double kPointsPerCoefficient = 1.1;
constexpr double kBestWeight = 20;

struct Moments {
  double mean, deviation;  // deviation 1 where all values are the same but for rounding
};

template <class Get>
Moments MomentsOf(std::size_t count, const Get& get) {
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < count; ++i) mean += get(i) / static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i) square += std::pow(get(i) - mean, 2) / static_cast<double>(count);
  const double deviation = std::sqrt(square);
  return {mean, deviation > 1e-12 * std::abs(mean) ? deviation : 1};
}

/// Weight of each point: from kBestWeight for the highest value down to 1 for the lowest.
std::vector<double> RankWeights(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  std::vector<double> weights(values.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank)
    weights[order[rank]] =
        kBestWeight - (kBestWeight - 1) * static_cast<double>(rank) / static_cast<double>(order.size() - 1);
  return weights;
}

}  // namespace

double KendallTau(std::span<const double> a, std::span<const double> b) {
  FORGE_CHECK(a.size() == b.size());
  if (a.size() < 2) return 0;
  int sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const int of_a = (a[i] > a[j]) - (a[i] < a[j]), of_b = (b[i] > b[j]) - (b[i] < b[j]);
      sum += of_a * of_b;
    }
  return 2.0 * sum / (static_cast<double>(a.size()) * static_cast<double>(a.size() - 1));
}

std::size_t QuadraticModel::NumCoefficients(Form form, std::size_t n) {
  return 1 + n + (form == Form::kLinear ? 0 : n) + (form == Form::kFull ? n * (n - 1) / 2 : 0);
}

std::size_t QuadraticModel::MostPoints(std::size_t dimensions) {
  const std::size_t full = NumCoefficients(Form::kFull, dimensions);
  return 2 * (full <= kMostCoefficients ? full : NumCoefficients(Form::kSquares, dimensions));
}

QuadraticModel::QuadraticModel(const std::vector<std::vector<double>>& points,
                               const std::vector<double>& values) {
  FORGE_CHECK(points.size() >= 2 && points.size() == values.size());
  const std::size_t dimensions = points[0].size();
  for (const Form form : {Form::kSquares, Form::kFull}) {
    const std::size_t needed = NumCoefficients(form, dimensions);
    const bool is_known =
        static_cast<double>(points.size()) >= kPointsPerCoefficient * static_cast<double>(needed);
    if (needed <= kMostCoefficients && is_known) form_ = form;
  }
  for (std::size_t d = 0; d < dimensions; ++d) {
    const Moments moments = MomentsOf(points.size(), [&](std::size_t i) { return points[i][d]; });
    center_.push_back(moments.mean);
    scale_.push_back(moments.deviation);
  }
  const Moments moments = MomentsOf(values.size(), [&](std::size_t i) { return values[i]; });
  value_center_ = moments.mean;
  value_scale_ = moments.deviation;

  const std::vector<double> weights = RankWeights(values);
  const auto rows = static_cast<Eigen::Index>(points.size());
  const auto columns = static_cast<Eigen::Index>(NumCoefficients(form_, dimensions));
  Eigen::MatrixXd system = Eigen::MatrixXd::Zero(columns, columns), features(rows, columns);
  Eigen::VectorXd target(rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const double root = std::sqrt(weights[k]);
    const std::vector<double> row = Features(points[k]);
    features.row(i) = root * Eigen::Map<const Eigen::RowVectorXd>(row.data(), columns);
    target[i] = root * (values[k] - value_center_) / value_scale_;
  }
  system.noalias() = features.transpose() * features;
  system.diagonal().array() += 1e-6 * static_cast<double>(points.size());
  const Eigen::VectorXd solution = system.ldlt().solve(features.transpose() * target);
  coefficients_.assign(solution.begin(), solution.end());
}

std::vector<double> QuadraticModel::Features(std::span<const double> point) const {
  FORGE_CHECK(point.size() == center_.size());
  const std::size_t n = center_.size();
  std::vector<double> features{1};
  features.reserve(NumCoefficients(form_, n));
  for (std::size_t d = 0; d < n; ++d) features.push_back((point[d] - center_[d]) / scale_[d]);
  if (form_ == Form::kLinear) return features;
  for (std::size_t a = 0; a < n; ++a)
    for (std::size_t b = a; b < (form_ == Form::kFull ? n : a + 1); ++b)
      features.push_back(features[1 + a] * features[1 + b]);
  return features;
}

double QuadraticModel::Predict(std::span<const double> point) const {
  const std::vector<double> features = Features(point);
  return value_center_ +
         value_scale_ * std::inner_product(features.begin(), features.end(), coefficients_.begin(), 0.0);
}

SurrogateSearch::SurrogateSearch(std::unique_ptr<SearchAlgorithm> search, const SurrogateConfig& config)
    : SearchAlgorithm({.box = search->options().box, .seed = search->options().seed}),
      search_(std::move(search)),
      config_(config) {
  ThrowIfOutOfRange("a surrogate", Problems(config));
}

double SurrogateSearch::Correlation() const {
  if (predicted_.size() < static_cast<std::size_t>(config_.correlation_points)) return 0;
  std::vector<double> predictions, results;
  for (const auto& [prediction, result] : predicted_) {
    predictions.push_back(prediction);
    results.push_back(result);
  }
  return KendallTau(predictions, results);
}

bool SurrogateSearch::IsOpen() const {
  return predicted_.size() >= static_cast<std::size_t>(config_.correlation_points) &&
         Correlation() >= config_.least_correlation;
}

void SurrogateSearch::Refit() {
  if (!is_stale_) return;
  is_stale_ = false;
  if (results_.size() < box().size() + 2) return;
  std::vector<std::vector<double>> points;
  std::vector<double> values;
  for (const auto& [point, value] : results_) {
    points.push_back(point);
    values.push_back(value);
  }
  model_.emplace(points, values);
}

Proposal SurrogateSearch::Propose(std::uint64_t id) {
  Refit();
  Proposal best = search_->Ask();
  std::optional<double> best_prediction;
  if (model_ && best.origin != "start") {
    best_prediction = model_->Predict(best.point);
    for (int i = 1; i < config_.candidates && IsOpen(); ++i) {
      Proposal other = search_->Ask();
      double prediction = model_->Predict(other.point);
      if (prediction > *best_prediction) {
        std::swap(best, other);
        std::swap(*best_prediction, prediction);
      }
      search_->Tell(other.id, {.objectives = {prediction}});
    }
  }
  pending_.emplace(id, Pending{best.id, best_prediction});
  best.parents.clear();  // ids of the inner search
  return best;
}

void SurrogateSearch::Learn(const Proposal& proposal, const Outcome& outcome) {
  if (outcome.objectives.size() > 1)
    throw Error(
        {.what = fmt::format("cannot use the result of proposal {}", proposal.id),
         .why = fmt::format("it has {} objectives; a surrogate models one", outcome.objectives.size()),
         .fix = "search without a surrogate, or give the weighted sum"});
  const auto pending = pending_.find(proposal.id);
  search_->Tell(pending->second.inner_id, outcome);
  if (!outcome.failed() && outcome.violation == 0) {
    if (pending->second.prediction)
      predicted_.emplace_back(*pending->second.prediction, outcome.objectives[0]);
    results_.emplace_back(proposal.point, outcome.objectives[0]);
    if (predicted_.size() > static_cast<std::size_t>(config_.correlation_points)) predicted_.pop_front();
    if (results_.size() > QuadraticModel::MostPoints(box().size())) results_.pop_front();
    is_stale_ = true;
  }
  pending_.erase(pending);
}

}  // namespace forge::evolve
