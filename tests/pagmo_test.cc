// SPDX-License-Identifier: Apache-2.0
// The searches of src/evolve against those of libpagmo (Debian's 2.18), at equal numbers of evaluations, from
// the same first points, medians over seeds. Built only where libpagmo-dev is installed; test only, no part
// of forge.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <pagmo/algorithm.hpp>
#include <pagmo/algorithms/cmaes.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>

#include "evolve/cma_es.h"
#include "evolve/nsga2.h"
#include "evolve/pareto.h"
#include "evolve/testing_functions.h"

namespace forge::evolve {
namespace {

constexpr int kSeeds = 11;

struct SingleObjective {
  Function function;
  std::size_t dimensions = 1;
  double low = 0, high = 1;

  pagmo::vector_double fitness(const pagmo::vector_double& x) const { return {function(x)}; }
  std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    return {pagmo::vector_double(dimensions, low), pagmo::vector_double(dimensions, high)};
  }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};

struct TwoObjectives {
  bool second = false;

  pagmo::vector_double fitness(const pagmo::vector_double& x) const {
    const Outcome outcome = Zdt(x, second);
    return {-outcome.objectives[0], -outcome.objectives[1]};
  }
  std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    return {pagmo::vector_double(30, 0.0), pagmo::vector_double(30, 1.0)};
  }
  pagmo::vector_double::size_type get_nobj() const { return 2; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};

struct Case {
  std::string name;
  SingleObjective problem;
  int evaluations;
  double factor;         // our median may be this many times pagmo's, above the optimum ..
  double tolerance = 0;  // .. or this much above it
  double optimum = 0;
};

double Sum(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}

/// Best values of ours and of pagmo's CMA-ES, both from the best of the same random population, with the same
/// step size and population size.
std::pair<double, double> BothBest(const Case& c, std::uint64_t seed) {
  const int n = static_cast<int>(c.problem.dimensions);
  const auto size = static_cast<unsigned>(std::max(5, 4 + static_cast<int>(3 * std::log(n))));
  const unsigned generations = static_cast<unsigned>(c.evaluations) / size;
  pagmo::population population{pagmo::problem{c.problem}, size, static_cast<unsigned>(seed)};
  CmaEs search({.box = Cube(c.problem.dimensions, c.problem.low, c.problem.high),
                .start_points = population.get_x(),
                .seed = seed},
               {.population_size = static_cast<int>(size), .initial_step_size = 0.2});
  RunInTurn(search, c.problem.function, static_cast<int>(size * (generations + 1)));
  pagmo::algorithm algorithm{
      pagmo::cmaes(generations, -1, -1, -1, -1, 0.2, 0, 0, false, true, static_cast<unsigned>(seed))};
  population = algorithm.evolve(population);
  // pagmo's population is the last generation; the champion is the best seen.
  return {-search.best_seen()->outcome.objectives[0], population.champion_f()[0]};
}

// The values fall geometrically, on the sphere in 10 dimensions by a factor of 5 in about 100 evaluations: a
// factor of 5 is about 10 % of the budget. pagmo moves samples outside the box onto its border, so it
// meets an optimum in a corner exactly, where reflection only comes near it: there the bound is a share of
// the function's range (1e-5 and 1e-3). Where the border is not parallel to the axes of the function, moving
// samples is the worse rule (last two rows).
TEST(Pagmo, CmaEsIsNoWorseThanPagmosOnStandardFunctions) {
  const std::vector<Case> cases{
      {"sphere, 2", {Sphere, 2, -5, 5}, 300, 5},
      {"sphere, 10", {Sphere, 10, -5, 5}, 1000, 5},
      {"sphere, 40", {Sphere, 40, -5, 5}, 3000, 5},
      {"ellipsoid, 10", {Ellipsoid, 10, -5, 5}, 3000, 1},
      {"rosenbrock, 2", {Rosenbrock, 2, -5, 5}, 400, 5},
      {"rosenbrock, 10", {Rosenbrock, 10, -5, 5}, 5000, 1},
      {"rastrigin, 2", {Rastrigin, 2, -5, 5}, 3000, 1},
      {"rastrigin, 5", {Rastrigin, 5, -5, 5}, 20000, 1},
      {"sphere in the corner, 10", {Sphere, 10, 0, 5}, 1000, 1, 2.5e-3},
      {"plane in the corner, 10", {Sum, 10, 0, 5}, 1000, 1, 0.05},
      {"rosenbrock cut at 0.5, 10", {Rosenbrock, 10, -5, 0.5}, 3000, 1, 1e-3, 7.5948},
      {"turned ellipsoid cut, 10", {TurnedEllipsoid, 10, 0, 5}, 3000, 1, 1, 507},
  };
  fmt::print("{:<28}{:>12}{:>14}{:>14}\n", "function, dimensions", "evaluations", "forge", "pagmo");
  for (const Case& c : cases) {
    std::vector<double> ours, theirs;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const auto [our_value, their_value] = BothBest(c, seed);
      ours.push_back(our_value);
      theirs.push_back(their_value);
    }
    fmt::print("{:<28}{:>12}{:>14.6g}{:>14.6g}\n", c.name, c.evaluations, MedianOf(ours), MedianOf(theirs));
    EXPECT_LE(MedianOf(ours) - c.optimum, std::max(c.tolerance, c.factor * (MedianOf(theirs) - c.optimum)))
        << c.name;
  }
}

double FrontArea(const std::vector<Objectives>& points) { return Hypervolume(points, {-1.1, -1.1}); }

TEST(Pagmo, Nsga2CoversTheFrontsOfZdtAsWellAsPagmos) {
  constexpr unsigned kSize = 100, kGenerations = 100;
  fmt::print("{:<26}{:>12}{:>14}{:>14}{:>14}\n", "function", "evaluations", "forge", "pagmo", "whole front");
  for (const bool second : {false, true}) {
    std::vector<double> ours, theirs;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      pagmo::population population{pagmo::problem{TwoObjectives{second}}, kSize, static_cast<unsigned>(seed)};
      Nsga2 search({.box = Cube(30, 0, 1), .start_points = population.get_x(), .seed = seed},
                   {.population_size = kSize});
      for (unsigned i = 0; i < kSize * (kGenerations + 1); ++i) {
        const Proposal proposal = search.Ask();
        search.Tell(proposal.id, Zdt(proposal.point, second));
      }
      std::vector<Objectives> front;
      for (const Evaluated& member : search.Front()) front.push_back(member.outcome.objectives);
      ours.push_back(FrontArea(front));
      pagmo::algorithm algorithm{
          pagmo::nsga2(kGenerations, 0.9, 20, 1.0 / 30, 20, static_cast<unsigned>(seed))};
      population = algorithm.evolve(population);
      front.clear();
      for (const auto& f : population.get_f()) front.push_back({-f[0], -f[1]});
      theirs.push_back(FrontArea(front));
    }
    fmt::print("{:<26}{:>12}{:>14.4f}{:>14.4f}{:>14.4f}\n", second ? "zdt2" : "zdt1",
               kSize * (kGenerations + 1), MedianOf(ours), MedianOf(theirs), second ? kZdt2Area : kZdt1Area);
    EXPECT_GE(MedianOf(ours), 0.999 * MedianOf(theirs)) << (second ? "zdt2" : "zdt1");
  }
}

}  // namespace
}  // namespace forge::evolve
