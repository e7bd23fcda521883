// SPDX-License-Identifier: Apache-2.0
#include "evolve/generation_search.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/philox.h"

namespace forge::evolve {
namespace {

void MutatePath(std::vector<int>& path, bool free, const GenomeSpace& space, Random& random) {
  const auto at = [&] {
    return static_cast<std::ptrdiff_t>(random.Below(static_cast<std::uint32_t>(path.size())));
  };
  const auto length = static_cast<int>(path.size());
  if (!free) {  // same position of another source
    const std::ptrdiff_t position = at();
    const auto sources = static_cast<std::uint32_t>(space.path_alphabet / space.path_stride);
    path[static_cast<std::size_t>(position)] = static_cast<int>(position) % space.path_stride +
                                               static_cast<int>(random.Below(sources)) * space.path_stride;
    return;
  }
  switch (random.Below(4)) {
    case 0:
      path[static_cast<std::size_t>(at())] =
          static_cast<int>(random.Below(static_cast<std::uint32_t>(space.path_alphabet)));
      break;
    case 1:
      std::swap(path[static_cast<std::size_t>(at())], path[static_cast<std::size_t>(at())]);
      break;
    case 2:
      if (length < space.path_max_length) {
        const std::ptrdiff_t position = at();
        const int repeated = path[static_cast<std::size_t>(position)];
        path.insert(path.begin() + position, repeated);
      }
      break;
    default:
      if (length > space.path_min_length) path.erase(path.begin() + at());
  }
}

/// Back to one entry for each position when the path has lost its freedom.
void FixPath(Genome& genome, const GenomeSpace& space) {
  if (space.path_alphabet == 0) return;
  const bool free = space.free_path_choice >= 0 &&
                    genome.choices[static_cast<std::size_t>(space.free_path_choice)] == space.free_path_value;
  if (free) return;
  genome.path.resize(static_cast<std::size_t>(space.path_stride), 0);
  for (int i = 0; i < space.path_stride; ++i) {
    int& entry = genome.path[static_cast<std::size_t>(i)];
    entry = entry / space.path_stride * space.path_stride + i;
  }
}

Genome Mutate(const Genome& parent, double step, const GenomeSpace& space,
              const GenerationSearchConfig& config, Random& random) {
  Genome child = parent;
  for (std::size_t i = 0; i < child.choices.size(); ++i)
    if (random.Uniform() < config.choice_rate)
      child.choices[i] = static_cast<int>(random.Below(static_cast<std::uint32_t>(space.choice_sizes[i])));
  const std::uint32_t always =
      random.Below(static_cast<std::uint32_t>(std::max<std::size_t>(1, child.genes.size())));
  for (std::size_t i = 0; i < child.genes.size(); ++i) {
    const double noise = random.Normal();
    if (random.Uniform() >= 0.5 && i != always) continue;
    const GenomeSpace::Gene& gene = space.genes[i];
    child.genes[i] = std::clamp(child.genes[i] + step * (gene.high - gene.low) * noise, gene.low, gene.high);
  }
  const bool free = space.free_path_choice >= 0 &&
                    child.choices[static_cast<std::size_t>(space.free_path_choice)] == space.free_path_value;
  if (!child.path.empty() && random.Uniform() < config.path_rate) MutatePath(child.path, free, space, random);
  FixPath(child, space);
  return child;
}

/// Mean of the genes; choices and path of the best of them.
Genome Average(const std::vector<const Individual*>& group) {
  Genome mean = group.front()->genome;
  for (std::size_t i = 0; i < mean.genes.size(); ++i) {
    double sum = 0;
    for (const Individual* individual : group) sum += individual->genome.genes[i];
    mean.genes[i] = sum / static_cast<double>(group.size());
  }
  return mean;
}

}  // namespace

std::string IndividualId(int generation, int index) {
  return fmt::format("g{:03}_c{:02}", generation, index);
}

std::vector<const Individual*> Ranked(const std::vector<Individual>& individuals) {
  std::vector<const Individual*> ranked;
  for (const Individual& individual : individuals)
    if (individual.score.has_value()) ranked.push_back(&individual);
  std::sort(ranked.begin(), ranked.end(), [](const Individual* a, const Individual* b) {
    return *a->score != *b->score ? *a->score > *b->score : a->id < b->id;
  });
  return ranked;
}

std::vector<Individual> NextGeneration(const std::vector<Individual>& evaluated, int generation,
                                       const GenomeSpace& space, const GenerationSearchConfig& config) {
  std::vector<const Individual*> breeding, last;
  for (const Individual* individual : Ranked(evaluated)) {
    if (individual->origin == "reference") continue;
    breeding.push_back(individual);
    if (individual->generation == generation - 1) last.push_back(individual);
  }
  FORGE_CHECK(!breeding.empty());
  std::vector<Individual> children;
  const auto add = [&](const char* origin, std::vector<std::string> parents, Genome genome) {
    children.push_back({IndividualId(generation, static_cast<int>(children.size())), generation, origin,
                        std::move(parents), std::move(genome), std::nullopt});
  };
  const auto seen = [&](const Genome& genome) {
    const auto same = [&](const Individual& individual) { return individual.genome == genome; };
    return std::any_of(evaluated.begin(), evaluated.end(), same) ||
           std::any_of(children.begin(), children.end(), same);
  };
  for (int winner = 0; winner < config.winners && winner < static_cast<int>(breeding.size()); ++winner)
    for (int mutant = 0; mutant < config.mutants_per_winner; ++mutant) {
      const double step = config.mutation_rate * (mutant == 0 ? 0.5 : mutant == 1 ? 1 : 2);
      Genome genome;
      for (std::uint64_t attempt = 0; attempt < 8; ++attempt) {
        Random random(config.seed, "evolve/mutate",
                      (static_cast<std::uint64_t>(generation) * 64 + children.size()) * 8 + attempt);
        genome = Mutate(breeding[static_cast<std::size_t>(winner)]->genome, step, space, config, random);
        if (!seen(genome)) break;
      }
      add("mutant", {breeding[static_cast<std::size_t>(winner)]->id}, std::move(genome));
    }
  const std::size_t losers = std::min<std::size_t>(static_cast<std::size_t>(config.losers), last.size());
  for (std::size_t start = last.size() - losers; start + 3 <= last.size(); start += 3) {
    const std::vector<const Individual*> group(last.begin() + static_cast<std::ptrdiff_t>(start),
                                               last.begin() + static_cast<std::ptrdiff_t>(start + 3));
    Genome genome = Average(group);
    FixPath(genome, space);
    add("average", {group[0]->id, group[1]->id, group[2]->id}, std::move(genome));
  }
  return children;
}

}  // namespace forge::evolve
