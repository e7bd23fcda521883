// SPDX-License-Identifier: Apache-2.0
#include "pipeline/box_algorithm.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "evolve/cma_es.h"
#include "evolve/map_elites.h"
#include "evolve/nsga2.h"
#include "evolve/random_search.h"
#include "evolve/surrogate.h"

namespace forge::pipeline {
namespace {

constexpr double kFirstStep = 0.15;    // standard deviation of the first samples, as a share of the box
constexpr double kRefinedStep = 0.06;  // of a level that starts from an optimum

std::unique_ptr<evolve::SearchAlgorithm> MakePlain(const EvolveConfig& config, evolve::SearchOptions options,
                                                   bool refines, std::size_t domains) {
  if (config.algorithm == "random") return std::make_unique<evolve::RandomSearch>(std::move(options));
  if (config.algorithm == "nsga2")
    return std::make_unique<evolve::Nsga2>(std::move(options), evolve::Nsga2Config{.population_size = 24});
  if (config.algorithm == "map-elites") {
    // Behaviour: how the coefficients lean, one descriptor for each parent but the last.
    evolve::Box ranges;
    for (std::size_t d = 0; d < NumDescriptors(domains); ++d)
      ranges.dimensions.push_back({fmt::format("share of parent {}", d + 1), 0, 1});
    return std::make_unique<evolve::MapElites>(std::move(options), std::move(ranges),
                                               evolve::MapElitesConfig{.bins = 6, .initial_points = 24});
  }
  return std::make_unique<evolve::CmaEs>(
      std::move(options),
      evolve::CmaEsConfig{.initial_step_size = refines ? kRefinedStep : kFirstStep, .restarts = "none"});
}

}  // namespace

std::unique_ptr<evolve::SearchAlgorithm> MakeBoxAlgorithm(const EvolveConfig& config,
                                                          evolve::SearchOptions options, bool refines,
                                                          std::size_t domains) {
  auto plain = MakePlain(config, std::move(options), refines, domains);
  if (!config.surrogate) return plain;
  if (config.algorithm == "nsga2")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot put a surrogate before nsga2",
                 .why = "it models one objective",
                 .fix = "leave out --surrogate, or choose another --algorithm"});
  return std::make_unique<evolve::SurrogateSearch>(std::move(plain), evolve::SurrogateConfig{});
}

std::size_t NumDescriptors(std::size_t domains) { return std::max<std::size_t>(domains, 2) - 1; }

}  // namespace forge::pipeline
