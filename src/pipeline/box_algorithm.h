// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "evolve/search_algorithm.h"
#include "pipeline/evolve_config.h"

namespace forge::pipeline {

/// The algorithm that the config names (any but `classic`), with its surrogate in front if it is to have one.
/// `refines`: the start point is the optimum of a coarser level, so that the first steps are small.
std::unique_ptr<evolve::SearchAlgorithm> MakeBoxAlgorithm(const EvolveConfig& config,
                                                          evolve::SearchOptions options, bool refines,
                                                          std::size_t domains);

/// How many descriptors map-elites is told for each result.
std::size_t NumDescriptors(std::size_t domains);

}  // namespace forge::pipeline
