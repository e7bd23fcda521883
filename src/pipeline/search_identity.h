// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "jobs/job.h"
#include "pipeline/evolve_inputs.h"

namespace forge::pipeline {

/// base_hash and parent_hashes. Reads every file once.
void HashModels(EvolveInputs& inputs);

/// All that the scores of an evaluation depend on beside the evaluation itself: the version of forge and the
/// kernels that it runs (results of AVX2 and AVX-512 differ in the last bits), and a hash over the files of
/// base and parents, in their order, and over all items, their metrics and weights.
///   inputs  with their hashes
jobs::Identity SearchIdentity(const EvolveInputs& inputs);

}  // namespace forge::pipeline
