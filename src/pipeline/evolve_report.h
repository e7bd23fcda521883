// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/json_file.h"
#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_config.h"

namespace forge::pipeline {

/// What a search came to, before the test split has been looked at.
struct SearchOutcome {
  const MergeCandidate& champion;
  std::size_t best_parent;
  bool gained;  // whether the champion is it, or the best parent stands in for it
  const std::vector<MergeCandidate>& evaluated;
};

/// The result of the stage: champion against best parent, uniform average and task arithmetic on the test
/// split, which is measured here for the first time, with intervals; cost; what the champion is made of.
/// docs/report.md has the fields.
io::Json EvolveReport(const EvolveConfig& config, const EvolveEvaluator& evaluator,
                      EvolveCandidates& candidates, const SearchOutcome& outcome);

/// Small models are saved in float32, others in bfloat16.
bool IsStoredInFull(const model::ModelConfig& config);

}  // namespace forge::pipeline
