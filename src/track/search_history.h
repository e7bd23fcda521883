// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "track/records.h"
#include "track/report_svg.h"

namespace forge::track {

/// What the fitness plot of report and dashboard shows.
struct SearchHistory {
  std::vector<GenerationPoint> points = {};  // by generation; references do not count into it
  std::vector<ReferenceLine> lines = {};     // one per reference
  std::optional<std::int64_t> best = {};     // id of the fittest candidate of any kind; the lower id on a tie
};

/// Candidates without a finite fitness (failed, or still running) are left out.
SearchHistory HistoryOf(const std::vector<Candidate>& candidates);

/// The candidates as the lineage is drawn of them.
std::vector<LineageNode> LineageNodes(const std::vector<Candidate>& candidates);

}  // namespace forge::track
