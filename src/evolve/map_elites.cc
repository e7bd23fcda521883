// SPDX-License-Identifier: Apache-2.0
#include "evolve/map_elites.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evolve/variation.h"

namespace forge::evolve {

MapElites::MapElites(SearchOptions options, Box descriptor_ranges, const MapElitesConfig& config)
    : SearchAlgorithm(std::move(options)), ranges_(std::move(descriptor_ranges)), config_(config) {
  ranges_.Check();
  ThrowIfOutOfRange("map-elites", Problems(config));
}

const Evaluated& MapElites::RandomElite(Random& random) const {
  return archive_.at(filled_[random.Below(static_cast<std::uint32_t>(filled_.size()))]);
}

Proposal MapElites::Propose(std::uint64_t id) {
  Random random(options().seed, "evolve/map-elites/child", id);
  if (id < static_cast<std::uint64_t>(config_.initial_points) || filled_.empty())
    return {.point = box().RandomPoint(random), .origin = "random"};
  const Evaluated &a = RandomElite(random), &b = RandomElite(random);
  const std::vector<double> child = IsoLine(box().ToUnit(a.proposal.point), box().ToUnit(b.proposal.point),
                                            config_.iso_deviation, config_.line_deviation, random);
  Proposal proposal{.point = box().FromUnit(child), .origin = "child", .parents = {a.proposal.id}};
  if (b.proposal.id != a.proposal.id) proposal.parents.push_back(b.proposal.id);
  return proposal;
}

int MapElites::IndependentProposals() const {
  const int random = config_.initial_points - static_cast<int>(num_asked());
  return random > 0 ? random : SearchAlgorithm::IndependentProposals();
}

void MapElites::Learn(const Proposal& proposal, const Outcome& outcome) {
  if (outcome.failed()) return;
  if (outcome.descriptors.size() != ranges_.size())
    throw Error({.what = fmt::format("cannot place the result of proposal {}", proposal.id),
                 .why = fmt::format("it has {} descriptors; the archive has {}", outcome.descriptors.size(),
                                    ranges_.size()),
                 .fix = "give one descriptor for each range"});
  Cell cell;
  for (const double unit : ranges_.ToUnit(outcome.descriptors)) {
    if (!std::isfinite(unit)) return;
    cell.push_back(static_cast<int>(std::clamp(std::floor(unit * config_.bins), 0.0, config_.bins - 1.0)));
  }
  const auto [place, is_new] = archive_.try_emplace(cell, Evaluated{proposal, outcome});
  if (is_new)
    filled_.push_back(cell);
  else if (IsBetter(outcome, place->second.outcome))
    place->second = {proposal, outcome};
}

double MapElites::SpreadLeft() const {
  std::vector<const Evaluated*> elites;
  for (const auto& [cell, elite] : archive_) elites.push_back(&elite);
  return LargestDeviation(box(), elites);
}

double MapElites::Coverage() const {
  return static_cast<double>(archive_.size()) / std::pow(config_.bins, static_cast<double>(ranges_.size()));
}

double MapElites::QualityDiversity(double floor) const {
  double sum = 0;
  for (const auto& [cell, elite] : archive_) sum += std::max(0.0, elite.outcome.objectives[0] - floor);
  return sum;
}

}  // namespace forge::evolve
