// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_display.h"

#include <fmt/format.h>

#include <algorithm>

#include "eval/evaluator.h"
#include "pipeline/evolve_candidates.h"

namespace forge::pipeline {
namespace {

/// A part of a series' name.
std::string Part(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

std::vector<double> MeansOf(const Scores& scores) {
  std::vector<double> means;
  for (const std::vector<double>& domain : scores) means.push_back(eval::Mean(domain));
  return means;
}

void RaiseTo(const std::vector<double>& values, std::vector<double>& highest) {
  if (highest.empty()) highest = values;
  for (std::size_t d = 0; d < values.size(); ++d) highest[d] = std::max(highest[d], values[d]);
}

}  // namespace

void SearchDisplay::OnReference(const std::string& label, const Scores& scores) {
  const std::vector<double> means = MeansOf(scores);
  RaiseTo(means, best_reference_);
  for (std::size_t d = 0; d < means.size(); ++d)
    sink_.Metric(fmt::format("evolve/reference/{}/{}", Part(domains_[d].name), Part(label)), 0, means[d]);
}

void SearchDisplay::OnScored(const MergeCandidate& candidate, const Scores& scores) {
  if (!generations_.empty() && generations_.rbegin()->first < candidate.generation)
    LogGeneration(generations_.rbegin()->first);
  const std::vector<double> means = MeansOf(scores);
  const double fitness = WeightedMean(domains_, scores);
  best_fitness_ = best_.empty() ? fitness : std::max(best_fitness_, fitness);
  RaiseTo(means, best_);
  Generation& generation = generations_[candidate.generation];
  generation.totals.resize(means.size());
  for (std::size_t d = 0; d < means.size(); ++d) generation.totals[d] += means[d];
  generation.fitness += fitness;
  ++generation.count;
  const int step = candidate.generation;
  for (std::size_t d = 0; d < means.size(); ++d) {
    const std::string name = Part(domains_[d].name);
    sink_.Metric("evolve/best/" + name, step, best_[d]);
    sink_.Metric("evolve/mean/" + name, step, generation.totals[d] / generation.count);
  }
  sink_.Metric("evolve/mean_fitness", step, generation.fitness / generation.count);
  sink_.Metric("evolve/best_fitness", step, best_fitness_);  // last: what the terminal shows
}

void SearchDisplay::OnCost(std::int64_t proposed, double full_evaluation_equivalents) {
  sink_.Metric("evolve/evaluations_saved", proposed,
               std::max(0.0, static_cast<double>(proposed) - full_evaluation_equivalents));
}

void SearchDisplay::Finish() {
  if (!generations_.empty()) LogGeneration(generations_.rbegin()->first);
}

void SearchDisplay::LogGeneration(int number) const {
  const Generation& generation = generations_.at(number);
  std::string line = fmt::format("generation {}: {} scored, best so far {:.4f}, mean {:.4f}", number,
                                 generation.count, best_fitness_, generation.fitness / generation.count);
  for (std::size_t d = 0; d < domains_.size(); ++d) {
    line += fmt::format("; {} {:.4f} and {:.4f}", domains_[d].name, best_[d],
                        generation.totals[d] / generation.count);
    if (!best_reference_.empty()) line += fmt::format(" (started from {:.4f})", best_reference_[d]);
  }
  sink_.Log(line);
}

}  // namespace forge::pipeline
