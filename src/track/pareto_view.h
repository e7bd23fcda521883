// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/json_file.h"
#include "track/records.h"

namespace forge::track {

/// The Pareto front of a search as report and lineage show it.
struct ParetoView {
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};  // a model each, the champion marked; none: no front
  std::string caption = {};
  /// Two domains: a scatter of all that was scored, with the front as steps, references and the champion by
  /// name. Three or more: an axis for each domain, the front's models as lines over them, references dashed.
  /// One domain: empty.
  std::string plot = {};
};

/// From the result of an evolve stage: its `pareto_front` [{number, label, kind, scores {domain: mean},
/// recipe}] and `champion`; what is not on the front comes from the candidates. A result without a front
/// gives an empty view; entries of another form are left out.
ParetoView ViewOfFront(const Json& evolve, const std::vector<Candidate>& candidates);

}  // namespace forge::track
