// SPDX-License-Identifier: Apache-2.0
#include "pipeline/candidate_race.h"

#include <algorithm>
#include <numeric>

namespace forge::pipeline {
namespace {

constexpr int kParts[] = {4, 2, 1};  // the items so far are one of so many parts of all

/// One list of all domains' items, whose mean is the weighted mean of the domains.
std::vector<double> Weighted(const std::vector<eval::DomainItems>& domains, const Scores& scores) {
  double weights = 0;
  std::size_t total = 0;
  for (std::size_t d = 0; d < domains.size(); ++d) {
    weights += domains[d].weight;
    total += scores[d].size();
  }
  std::vector<double> list;
  for (std::size_t d = 0; d < domains.size(); ++d)
    for (const double score : scores[d])
      list.push_back(score * domains[d].weight / weights * static_cast<double>(total) /
                     static_cast<double>(scores[d].size()));
  return list;
}

std::size_t LargestDomain(const std::vector<eval::DomainItems>& domains, eval::Split split) {
  std::size_t largest = 0;
  for (const eval::DomainItems& domain : domains) largest = std::max(largest, domain.Of(split).size());
  return largest;
}

}  // namespace

CandidateRace RaceCandidates(EvolveCandidates& candidates, const std::vector<ModelChoice>& models,
                             eval::Split split, std::size_t num_kept, const evolve::RaceConfig& config) {
  const std::vector<eval::DomainItems>& domains = candidates.domains();
  CandidateRace race{.survivors = std::vector<std::size_t>(models.size()),
                     .scores = std::vector<Scores>(models.size(), Scores(domains.size()))};
  std::iota(race.survivors.begin(), race.survivors.end(), std::size_t{0});
  const int size = static_cast<int>(LargestDomain(domains, split));
  int first = 0, look = 0;
  for (const int part : kParts) {
    const int end = size / part;
    if (end <= first) continue;
    std::vector<Evaluation> evaluations;
    for (const std::size_t index : race.survivors)
      evaluations.push_back({models[index], {.split = split, .first = first, .items = end - first}});
    const std::vector<Scores> scores = candidates.Score(evaluations);
    std::vector<std::vector<double>> lists;
    for (std::size_t i = 0; i < race.survivors.size(); ++i) {
      Scores& all = race.scores[race.survivors[i]];
      for (std::size_t d = 0; d < domains.size(); ++d)
        all[d].insert(all[d].end(), scores[i][d].begin(), scores[i][d].end());
      lists.push_back(Weighted(domains, all));
    }
    first = end;
    if (part == 1 || race.survivors.size() <= num_kept) continue;
    std::vector<std::size_t> left;
    for (const std::size_t i : evolve::SurvivorsOfRace(lists, num_kept, ++look, config))
      left.push_back(race.survivors[i]);
    race.survivors = std::move(left);
  }
  return race;
}

}  // namespace forge::pipeline
