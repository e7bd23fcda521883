// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pipeline/evolve_inputs.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

/// EvoMerge: searches for the merge of the base models with the best mean score over the domains, chooses the
/// champion on other items, and measures it once on the test items against the best parent, the mean of the
/// parents and the uniform average. Candidates are merged in memory and never written; every one is a row of
/// the store, and a unit of work, so that a killed search goes on after the last finished candidate.
///
/// Writes <run>/evolve/champion, a standard model folder. Ends the stage "evolve" in the store with the
/// result that track/run_report.h describes. Returns the model to go on with: the champion, or the best
/// parent if the champion is not better beyond chance on the selection split (IsGain; verdict "no_gain").
LoadedModel RunEvolveStage(const EvolveConfig& config, EvolveInputs inputs, const RunContext& context);

}  // namespace forge::pipeline
