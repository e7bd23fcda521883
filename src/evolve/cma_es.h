// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/config_field.h"
#include "evolve/search_algorithm.h"

namespace forge::evolve {

struct CmaEsConfig {
  int population_size = 0;
  double initial_step_size = 0.2;
  bool active_weights = true;
  bool mirrored_sampling = false;
  bool learning_rate_adaptation = false;
  std::string restarts = "bipop";
  int max_restarts = 100;
  int max_delay = 1;
  double objective_tolerance = 1e-12;
  double point_tolerance = 1e-11;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("population_size", population_size, InRange{0, 100'000},
          "Results that a generation takes (lambda); 0: 4 + 3 ln(dimensions). With more workers than that, "
          "give their number.");
    visit("initial_step_size", initial_step_size, InRange{1e-6, 0.25},
          "Standard deviation of the first samples, as a share of the box's width.");
    visit("active_weights", active_weights, AnyValue{},
          "Shrink the covariance along the directions of the worst samples.");
    visit("mirrored_sampling", mirrored_sampling, AnyValue{},
          "Draw samples in pairs on opposite sides of the mean.");
    visit(
        "learning_rate_adaptation", learning_rate_adaptation, AnyValue{},
        "Smaller steps where results are noisy or rugged: slower on smooth objectives, far better on noise.");
    visit("restarts", restarts, OneOf{{"none", "ipop", "bipop"}},
          "What follows when the search has contracted: nothing, or a new start elsewhere with a larger "
          "(ipop) or in turns a larger and a smaller population (bipop).");
    visit("max_restarts", max_restarts, InRange{0, 100'000}, "Restarts before the search ends.");
    visit("max_delay", max_delay, InRange{0, 100},
          "Generations by which a result may be late and still count for the next generation.");
    visit("objective_tolerance", objective_tolerance, InRange{0, 1},
          "A run ends when its best results have differed by less than this for many generations.");
    visit("point_tolerance", point_tolerance, InRange{0, 1},
          "A run ends when its spread is below this share of the first step size.");
  }
};

/// What a CMA-ES is doing, for display and tests.
struct CmaEsStatus {
  int restarts = 0;
  int generation = 0;       // of this run
  int population_size = 0;  // of this run
  double step_size = 0;     // share of the box's width
  double condition_number = 1;
  double mean_learning_rate = 1, covariance_learning_rate = 1;
};

/// CMA-ES, (mu/mu_w, lambda) with active weights: Hansen 2016, arXiv:1604.00772 (parameters: table 1;
/// equations in cma_distribution.h), with, if wished, learning-rate adaptation for noise
/// (cma_learning_rate.h) and restarts (cma_restarts.h). For one objective; 1 to about 200 dimensions (memory
/// n^2, O(n^3) time a generation: about 30 ms at 200).
///
/// Asynchronous: the distribution is updated whenever lambda results have come since the last update. The
/// result of a sample from an earlier distribution, at most max_delay updates ago, counts as an injected
/// solution (Hansen 2011, arXiv:1110.4181): its step is taken from the new mean, (x - m) / sigma, and
/// shortened to sqrt(n) + 2n / (n + 2) in Mahalanobis length. Later ones only count for the best seen. With
/// lambda workers that takes 1.0 (sphere) to 1.6 times (Rosenbrock) the evaluations of one worker
/// (docs/search.md). A gradient with delay, (x - m) / sigma of the sample's own distribution, took half as
/// many again on the sphere; results two or more updates late make the search unstable on ill-conditioned
/// functions. With more workers than lambda, evaluations are wasted: give population_size = workers.
///
/// Box: samples are folded into the box by reflection for evaluation, and the distribution learns from the
/// unfolded sample ("Darwinian reflection" of Biedrzycki 2020, doi:10.1016/j.swevo.2019.100627). Resampling
/// stalls in a corner of many dimensions, where almost every sample is out; projection with penalty needs the
/// scale of the objective, and CMA-ES otherwise needs ranks only. The standard deviation of a dimension is
/// kept to a quarter of the width; a uniform distribution has 0.29.
///
/// Start points: all are evaluated first. Until the last of them is told, samples are drawn around the best
/// so far; when it is told, the first generation starts at the best of all, and samples drawn around others
/// count no more. So a start point that is never told keeps the search from learning: tell a failure. Without
/// start points the search begins at the middle of the box.
///
/// Failures have the worst rank, equal results are ordered by id; a generation in which all failed teaches
/// nothing and is drawn anew. Where a quarter of a generation shares the best result exactly, the step size
/// grows (Hansen 2016, appendix B.3).
class CmaEs : public SearchAlgorithm {
 public:
  CmaEs(SearchOptions options, const CmaEsConfig& config);
  ~CmaEs() override;

  /// The mean of the distribution, folded into the box; after restarts, of the run that saw the best result.
  std::vector<double> Recommended() const override;
  double SpreadLeft() const override;
  /// The run has contracted and there will be no restart.
  bool Converged() const override;
  CmaEsStatus status() const;

 protected:
  Proposal Propose(std::uint64_t id) override;
  /// The rest of a generation; none while start points are out.
  int IndependentProposals() const override;
  void Learn(const Proposal& proposal, const Outcome& outcome) override;

 private:
  class Runs;  // holds all that is made of matrices
  std::unique_ptr<Runs> runs_;
};

}  // namespace forge::evolve
