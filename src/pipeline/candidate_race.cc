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

/// How many items the domain with the most of them has in a measure.
int NumItems(const std::vector<eval::DomainItems>& domains, const Measure& measure) {
  std::size_t largest = 0;
  for (const eval::DomainItems& domain : domains)
    largest = std::max(largest, measure.End(domain.Of(measure.split).size()));
  return static_cast<int>(largest);
}

/// WeightedMean of the first `count` items, as far as there are so many.
double MeanOfFirst(const std::vector<eval::DomainItems>& domains, Scores scores, std::size_t count) {
  for (std::vector<double>& domain : scores) domain.resize(std::min(domain.size(), count));
  return WeightedMean(domains, scores);
}

void SetMeans(const std::vector<eval::DomainItems>& domains, CandidateRace& race) {
  double survivors = 0;
  for (const std::size_t i : race.survivors)
    survivors += WeightedMean(domains, race.scores[i]) / static_cast<double>(race.survivors.size());
  for (const Scores& scores : race.scores) {
    std::size_t count = 0;
    for (const std::vector<double>& domain : scores) count = std::max(count, domain.size());
    double there = 0;
    for (const std::size_t i : race.survivors)
      there += MeanOfFirst(domains, race.scores[i], count) / static_cast<double>(race.survivors.size());
    race.means.push_back(survivors + WeightedMean(domains, scores) - there);
  }
  for (const std::size_t i : race.survivors) race.means[i] = WeightedMean(domains, race.scores[i]);
}

}  // namespace

CandidateRace RaceCandidates(EvolveCandidates& candidates, const std::vector<ModelChoice>& models,
                             const Measure& measure, std::size_t num_kept, const evolve::RaceConfig& config) {
  const std::vector<eval::DomainItems>& domains = candidates.domains();
  CandidateRace race{.survivors = std::vector<std::size_t>(models.size()),
                     .scores = std::vector<Scores>(models.size(), Scores(domains.size())),
                     .means = {}};
  std::iota(race.survivors.begin(), race.survivors.end(), std::size_t{0});
  const int size = NumItems(domains, measure);
  int first = 0, look = 0;
  for (const int part : kParts) {
    const bool is_last = part == 1;
    const int end = size / part;
    if (end <= first || (!is_last && race.survivors.size() <= num_kept)) continue;
    Measure rest = measure;
    rest.first = first;
    rest.items = end - first;
    std::vector<Evaluation> evaluations;
    for (const std::size_t index : race.survivors) evaluations.push_back({models[index], rest});
    const std::vector<Scores> scores = candidates.Score(evaluations);
    std::vector<std::vector<double>> lists;
    for (std::size_t i = 0; i < race.survivors.size(); ++i) {
      Scores& all = race.scores[race.survivors[i]];
      for (std::size_t d = 0; d < domains.size(); ++d)
        all[d].insert(all[d].end(), scores[i][d].begin(), scores[i][d].end());
      lists.push_back(Weighted(domains, all));
    }
    first = end;
    if (is_last) break;
    std::vector<std::size_t> left;
    for (const std::size_t i : evolve::SurvivorsOfRace(lists, num_kept, ++look, config))
      left.push_back(race.survivors[i]);
    race.survivors = std::move(left);
  }
  SetMeans(domains, race);
  return race;
}

}  // namespace forge::pipeline
