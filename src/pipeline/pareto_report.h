// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/json_file.h"
#include "track/records.h"

namespace forge::pipeline {

/// The models of a search that no other one dominates: none is at least as good on the search items of every
/// domain and better on one. Parents, base and uniform average count as well. Of models with the same scores
/// the one with the lowest number is listed.
///   candidates  of the store; those without a score on every domain are left out
///   domains     names, keys of the candidates' scores
/// Returns [{number, label, kind, scores {domain: mean}, recipe}], the highest on the first domain first;
/// `recipe` in words, empty for models that are no merge.
io::Json ParetoFront(const std::vector<track::Candidate>& candidates,
                     const std::vector<std::string>& domains);

}  // namespace forge::pipeline
