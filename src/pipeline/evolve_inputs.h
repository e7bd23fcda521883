// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "eval/item.h"
#include "jobs/job.h"
#include "pipeline/evolve_config.h"
#include "pipeline/model_source.h"

namespace forge::pipeline {

/// What a search starts from.
struct EvolveInputs {
  OpenedModel base;  // the average of the parents when there is no base
  bool base_is_average = false;
  std::vector<OpenedModel> parents;
  std::vector<eval::DomainItems> domains;
  std::string base_hash;                   // of the files; of an average those that it is made of
  std::vector<std::string> parent_hashes;  // [parents]
  jobs::Identity identity;                 // of all of it
};

/// Opens models and reads tasks, before the run is recorded: a name or file that cannot be used leaves
/// nothing behind. Throws Error(kInput) for models that cannot be merged, naming all differences and what
/// would make them mergeable. A different rope theta alone is no obstacle to the searches over coefficients.
EvolveInputs LoadEvolveInputs(const EvolveConfig& config);

}  // namespace forge::pipeline
