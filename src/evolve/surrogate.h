// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/config_field.h"
#include "evolve/search_algorithm.h"

namespace forge::evolve {

/// Kendall's tau-a of two lists of the same length: (concordant - discordant pairs) / pairs, ties counting 0;
/// 0 for fewer than two values. O(n^2).
double KendallTau(std::span<const double> a, std::span<const double> b);

/// Regression of an objective on a point by a polynomial: linear, with squares, or full quadratic, the
/// largest whose coefficients are at most 1 / 1.1 of the points (as in lq-CMA-ES, Hansen 2019,
/// doi:10.1145/3321707.3321842), and at most 600. Weighted least squares, weights falling from 20 for the
/// best point to 1 for the worst as there, in coordinates of mean 0 and deviation 1 over the points, with a
/// ridge of 1e-6 of the number of points, which is where we differ: a singular system then needs no care.
class QuadraticModel {
 public:
  /// points [n][dimensions], values [n], higher is better; n >= 2. O(n c^2) for c coefficients.
  QuadraticModel(const std::vector<std::vector<double>>& points, const std::vector<double>& values);

  double Predict(std::span<const double> point) const;
  std::size_t num_coefficients() const { return coefficients_.size(); }

  /// Most points that a model of this many dimensions makes use of: twice its largest number of coefficients.
  static std::size_t MostPoints(std::size_t dimensions);

 private:
  enum class Form { kLinear, kSquares, kFull };
  static std::size_t NumCoefficients(Form form, std::size_t dimensions);
  std::vector<double> Features(std::span<const double> point) const;

  Form form_ = Form::kLinear;
  std::vector<double> center_, scale_;  // of the coordinates
  double value_center_ = 0, value_scale_ = 1;
  std::vector<double> coefficients_;
};

struct SurrogateConfig {
  int candidates = 4;
  double least_correlation = 0.6;
  int correlation_points = 20;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("candidates", candidates, InRange{1, 1000},
          "Proposals that the model ranks for each that is evaluated, while the gate is open.");
    visit("least_correlation", least_correlation, InRange{-1, 1},
          "Kendall's tau of predictions and results above which the gate is open.");
    visit("correlation_points", correlation_points, InRange{5, 10'000},
          "Latest results that tau is taken over.");
  }
};

/// Another search with a model in front: while the gate is open, `candidates` proposals of the search are
/// ranked by a QuadraticModel of all results so far; the best is passed on, and the search is told the
/// predictions for the others, as lq-CMA-ES ranks a generation of which only a part was evaluated. The gate
/// is open while Kendall's tau between the last correlation_points results and what the model had predicted
/// for them, before they were known, is at least least_correlation; otherwise every proposal is evaluated,
/// and goes on being predicted, so that the gate can open again. A wrong model so costs nothing but its own
/// few choices.
///
/// For one objective and up to about 60 dimensions. Start points pass unranked. Results that failed or
/// violate a constraint teach the search, not the model. Recommended, SpreadLeft and Converged are the inner
/// search's.
class SurrogateSearch : public SearchAlgorithm {
 public:
  /// Throws Error if the config is out of range.
  SurrogateSearch(std::unique_ptr<SearchAlgorithm> search, const SurrogateConfig& config);

  std::vector<double> Recommended() const override { return search_->Recommended(); }
  double SpreadLeft() const override { return search_->SpreadLeft(); }
  bool Converged() const override { return search_->Converged(); }
  /// Tau over the last results; 0 while fewer than correlation_points have been predicted.
  double Correlation() const;
  bool IsOpen() const;

 protected:
  Proposal Propose(std::uint64_t id) override;
  void Learn(const Proposal& proposal, const Outcome& outcome) override;

 private:
  struct Pending {
    std::uint64_t inner_id;
    std::optional<double> prediction;
  };
  void Refit();

  std::unique_ptr<SearchAlgorithm> search_;
  SurrogateConfig config_;
  std::optional<QuadraticModel> model_;
  bool is_stale_ = false;  // results have come since the model was made
  std::deque<std::pair<std::vector<double>, double>> results_;
  std::deque<std::pair<double, double>> predicted_;  // prediction and result
  std::map<std::uint64_t, Pending> pending_;
};

}  // namespace forge::evolve
