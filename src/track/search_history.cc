// SPDX-License-Identifier: Apache-2.0
#include "track/search_history.h"

#include <algorithm>
#include <map>

namespace forge::track {

SearchHistory HistoryOf(const std::vector<Candidate>& candidates) {
  struct Sum {
    double best = 0, total = 0;
    int count = 0;
  };
  std::map<std::int64_t, Sum> generations;
  SearchHistory history;
  double best = 0;
  for (const Candidate& candidate : candidates) {
    const std::optional<double> fitness = candidate.Fitness();
    if (!fitness) continue;
    if (!history.best || *fitness > best) history.best = candidate.id, best = *fitness;
    if (IsReference(candidate.kind)) {
      history.lines.push_back({candidate.label.empty() ? candidate.kind : candidate.label, *fitness});
      continue;
    }
    Sum& sum = generations[candidate.generation];
    sum.best = sum.count == 0 ? *fitness : std::max(sum.best, *fitness);
    sum.total += *fitness;
    ++sum.count;
  }
  for (const auto& [generation, sum] : generations)
    history.points.push_back({generation, sum.best, sum.total / sum.count});
  return history;
}

std::vector<LineageNode> LineageNodes(const std::vector<Candidate>& candidates) {
  std::vector<LineageNode> nodes;
  for (const Candidate& candidate : candidates)
    nodes.push_back({candidate.id, candidate.generation, candidate.kind, candidate.label, candidate.Fitness(),
                     candidate.parents});
  return nodes;
}

}  // namespace forge::track
