// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_config.h"

namespace forge::pipeline {

/// The search of every algorithm but `classic`: over the coefficients of task arithmetic (merge_space.h),
/// level by level from coarse to fine, each from the optimum of the one before.
///
/// With guide `likelihood` (which needs no generation, is smooth, and has little noise) proposals are scored
/// by the gold answers' nats on the first guide_items of each domain, and only the best of each level by the
/// domains' metric on all search items; with guide `task` every proposal is. nsga2 maximises each domain on
/// its own; the others the weighted mean, less, with min_per_domain, what a domain lacks of its best parent.
///
/// Returns the candidates that were scored by the domains' metric, each recorded in the store. `evaluations`
/// of the config counts proposals. Deterministic in config, seed and models.
std::vector<MergeCandidate> RunBoxSearch(const EvolveConfig& config, EvolveCandidates& candidates);

}  // namespace forge::pipeline
