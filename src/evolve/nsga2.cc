// SPDX-License-Identifier: Apache-2.0
#include "evolve/nsga2.h"

#include <algorithm>
#include <cmath>

#include "evolve/variation.h"

namespace forge::evolve {

Nsga2::Nsga2(SearchOptions options, const Nsga2Config& config)
    : SearchAlgorithm(std::move(options)), config_(config) {
  ThrowIfOutOfRange("nsga2", Problems(config));
}

void Nsga2::Rank() {
  std::vector<Objectives> points;
  std::vector<double> violations;
  for (const Evaluated& member : population_) {
    points.push_back(member.outcome.objectives);
    violations.push_back(member.outcome.violation);
  }
  front_of_.assign(population_.size(), 0);
  crowding_.assign(population_.size(), 0);
  const auto fronts = NonDominatedFronts(points, violations);
  for (std::size_t f = 0; f < fronts.size(); ++f) {
    for (const std::size_t i : fronts[f]) front_of_[i] = f;
    SetCrowding(points, fronts[f]);
  }
  if (population_.size() <= static_cast<std::size_t>(config_.population_size)) return;
  // The last front loses a member; no other member changes its front by that.
  std::vector<std::size_t> last = fronts.back();
  // Of equals, the youngest leaves.
  const auto worst = std::min_element(
      last.rbegin(), last.rend(), [&](std::size_t a, std::size_t b) { return crowding_[a] < crowding_[b]; });
  const std::size_t leaving = *worst;
  last.erase(std::next(worst).base());
  SetCrowding(points, last);
  const auto place = static_cast<std::ptrdiff_t>(leaving);
  population_.erase(population_.begin() + place);
  front_of_.erase(front_of_.begin() + place);
  crowding_.erase(crowding_.begin() + place);
}

void Nsga2::SetCrowding(std::span<const Objectives> points, std::span<const std::size_t> front) {
  const std::vector<double> distances = CrowdingDistances(points, front);
  for (std::size_t i = 0; i < front.size(); ++i) crowding_[front[i]] = distances[i];
}

/// The better of two by front, then by crowding distance; the first drawn if both are equal.
const Evaluated& Nsga2::Tournament(Random& random) const {
  const auto size = static_cast<std::uint32_t>(population_.size());
  const std::size_t a = random.Below(size), b = random.Below(size);
  const bool second_wins =
      front_of_[b] != front_of_[a] ? front_of_[b] < front_of_[a] : crowding_[b] > crowding_[a];
  return population_[second_wins ? b : a];
}

Proposal Nsga2::Propose(std::uint64_t id) {
  Random random(options().seed, "evolve/nsga2/child", id);
  if (id < static_cast<std::uint64_t>(config_.population_size) || population_.size() < 2)
    return {.point = box().RandomPoint(random), .origin = "random"};
  const Evaluated &a = Tournament(random), &b = Tournament(random);
  std::vector<double> child = box().ToUnit(a.proposal.point);
  Proposal proposal{.origin = "child", .parents = {a.proposal.id}};
  if (random.Uniform() < config_.crossover_probability && a.proposal.id != b.proposal.id) {
    child = SimulatedBinaryCrossover(child, box().ToUnit(b.proposal.point), config_.crossover_index, random);
    proposal.parents.push_back(b.proposal.id);
  }
  const double rate =
      config_.mutation_rate > 0 ? config_.mutation_rate : 1.0 / static_cast<double>(box().size());
  PolynomialMutation(child, config_.mutation_index, rate, random);
  proposal.point = box().FromUnit(child);
  return proposal;
}

int Nsga2::IndependentProposals() const {
  const int random = config_.population_size - static_cast<int>(num_asked());
  return random > 0 ? random : SearchAlgorithm::IndependentProposals();
}

void Nsga2::Learn(const Proposal& proposal, const Outcome& outcome) {
  if (outcome.failed()) return;
  const auto place =
      std::upper_bound(population_.begin(), population_.end(), proposal.id,
                       [](std::uint64_t id, const Evaluated& member) { return id < member.proposal.id; });
  population_.insert(place, {proposal, outcome});
  Rank();
}

std::vector<Evaluated> Nsga2::Front() const {
  std::vector<Evaluated> front;
  for (std::size_t i = 0; i < population_.size(); ++i)
    if (front_of_[i] == 0) front.push_back(population_[i]);
  return front;
}

std::vector<double> Nsga2::Recommended() const {
  const std::vector<Evaluated> front = Front();
  if (front.empty()) return SearchAlgorithm::Recommended();
  std::vector<Objectives> points;
  for (const Evaluated& member : front) points.push_back(member.outcome.objectives);
  return front[KneePoint(points)].proposal.point;
}

double Nsga2::SpreadLeft() const {
  std::vector<const Evaluated*> members;
  for (const Evaluated& member : population_) members.push_back(&member);
  return LargestDeviation(box(), members);
}

}  // namespace forge::evolve
