// SPDX-License-Identifier: Apache-2.0
#include "pipeline/pareto_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "evolve/pareto.h"

namespace forge::pipeline {
namespace {

using io::Json;

/// "task arithmetic by layers, density 0.61, lambda 1.2"
std::string InWords(const Json& genome) {
  if (!genome.is_object() || !genome.contains("recipe")) return "";
  std::string text = genome.value("recipe", "");
  if (genome.contains("level")) text += " by " + genome.value("level", "");
  for (const auto& [key, usual] : {std::pair{"density", 1.0}, std::pair{"lambda", 1.0}})
    if (const double value = genome.value(key, usual); value != usual)
      text += fmt::format(", {} {:.2f}", key, value);
  if (genome.contains("rope_theta"))
    text += fmt::format(", rope theta {:g}", genome.value("rope_theta", 0.0));
  return text;
}

}  // namespace

Json ParetoFront(const std::vector<track::Candidate>& candidates, const std::vector<std::string>& domains) {
  std::vector<const track::Candidate*> scored;
  std::vector<evolve::Objectives> points;
  std::set<evolve::Objectives> seen;
  std::vector<const track::Candidate*> by_number;
  for (const track::Candidate& candidate : candidates) by_number.push_back(&candidate);
  std::sort(by_number.begin(), by_number.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  for (const track::Candidate* candidate : by_number) {
    evolve::Objectives scores;
    for (const std::string& domain : domains) {
      const Json score = candidate->scores.value(domain, Json());
      if (score.is_number() && std::isfinite(score.get<double>())) scores.push_back(score.get<double>());
    }
    if (scores.empty() || scores.size() != domains.size() || !seen.insert(scores).second) continue;
    scored.push_back(candidate);
    points.push_back(std::move(scores));
  }
  Json front = Json::array();
  if (points.empty()) return front;
  std::vector<std::size_t> best = evolve::NonDominatedFronts(points)[0];
  std::stable_sort(best.begin(), best.end(),
                   [&](std::size_t a, std::size_t b) { return points[a][0] > points[b][0]; });
  for (const std::size_t i : best) {
    Json scores = Json::object();
    for (std::size_t d = 0; d < domains.size(); ++d) scores[domains[d]] = points[i][d];
    const track::Candidate& candidate = *scored[i];
    front.push_back({{"number", candidate.id},
                     {"label", candidate.label.empty() ? fmt::format("#{}", candidate.id) : candidate.label},
                     {"kind", candidate.kind},
                     {"scores", std::move(scores)},
                     {"recipe", InWords(candidate.genome)}});
  }
  return front;
}

}  // namespace forge::pipeline
