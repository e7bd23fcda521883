// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_config.h"

namespace forge::pipeline {

/// The minutes and tokens that a search may use, beside its number of evaluations. Minutes count from the
/// start of the stage, over all sessions of the run. Where a part of the search ended for want of them is a
/// unit of the run, so that a resumed search ends there too.
class SearchBudget {
 public:
  SearchBudget(const EvolveConfig& config, EvolveCandidates& candidates)
      : config_(config), candidates_(candidates) {}

  /// Whether the part may make no further proposal after `made` of them. `tokens`: that the results which
  /// count have used; those still under way do not, so that the answer does not depend on the number of
  /// workers. `share` (0, 1]: of the whole budget that may be used up when the part ends. Logs why.
  bool HasEnded(const std::string& part, int made, std::int64_t tokens, double share = 1);

 private:
  std::string WhatIsUsedUp(std::int64_t tokens, double share) const;

  const EvolveConfig& config_;
  EvolveCandidates& candidates_;
};

}  // namespace forge::pipeline
