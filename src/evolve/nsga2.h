// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config_field.h"
#include "evolve/pareto.h"
#include "evolve/search_algorithm.h"

namespace forge::evolve {

struct Nsga2Config {
  int population_size = 100;
  double crossover_probability = 0.9;
  double crossover_index = 20;
  double mutation_rate = 0;
  double mutation_index = 20;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("population_size", population_size, InRange{2, 100'000}, "Results kept.");
    visit("crossover_probability", crossover_probability, InRange{0, 1},
          "Share of children made from two parents.");
    visit("crossover_index", crossover_index, InRange{0, 1000},
          "Of simulated binary crossover; higher: children nearer to their parents.");
    visit("mutation_rate", mutation_rate, InRange{0, 1},
          "Probability that a dimension of a child is mutated; 0: 1 / dimensions.");
    visit("mutation_index", mutation_index, InRange{0, 1000},
          "Of polynomial mutation; higher: smaller mutations.");
  }
};

/// NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017), for one or more objectives, with constrained
/// domination: binary tournaments by front and crowding distance, simulated binary crossover, polynomial
/// mutation.
///
/// Where we differ: steady-state, so that there is no barrier. Every result joins the population, and when
/// there are more than population_size, the most crowded of the worst front leaves (Durillo et al. 2009,
/// EMO, found this better than generations, too: distances are always up to date). One child is made at a
/// time. A child always has a mutated dimension. Failures never join. Start points, then random points, fill
/// the first population_size asks; while fewer than two results are known, points are random. Ask and Tell
/// cost O(M N^2) for N kept results.
class Nsga2 : public SearchAlgorithm {
 public:
  /// Throws Error if the config is out of range.
  Nsga2(SearchOptions options, const Nsga2Config& config);

  double SpreadLeft() const override;  // of the population
  /// The knee of the front (pareto.h).
  std::vector<double> Recommended() const override;

  const std::vector<Evaluated>& population() const { return population_; }  // ascending by id
  /// The non-dominated results, ascending by id.
  std::vector<Evaluated> Front() const;

 protected:
  Proposal Propose(std::uint64_t id) override;
  /// The rest of the random ones.
  int IndependentProposals() const override;
  void Learn(const Proposal& proposal, const Outcome& outcome) override;

 private:
  /// Fronts and crowding distances of the population; one more than population_size leaves.
  void Rank();
  void SetCrowding(std::span<const Objectives> points, std::span<const std::size_t> front);
  const Evaluated& Tournament(Random& random) const;

  Nsga2Config config_;
  std::vector<Evaluated> population_;
  std::vector<std::size_t> front_of_;  // of each of population_, 0 the best
  std::vector<double> crowding_;
};

}  // namespace forge::evolve
