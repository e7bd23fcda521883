// SPDX-License-Identifier: Apache-2.0
#include "pipeline/merge_genome.h"

#include <fmt/format.h>

#include "pipeline/recipe_words.h"

namespace forge::pipeline {
namespace {

constexpr const char* kGroupNames[merge::kComponentGroups] = {"attention", "mlp", "other"};
// Where the seeds start: task vectors at about two thirds, which is where task arithmetic is usually best
// (arXiv:2212.04089), and less of embedding and norms, which carry what a specialist forgot.
constexpr double kSeedCoefficients[merge::kComponentGroups] = {0.65, 0.65, 0.3};

}  // namespace

evolve::GenomeSpace MergeGenomeSpace(int parents, int layers) {
  evolve::GenomeSpace space{.choice_sizes = {2, 2, 2},
                            .path_alphabet = (parents + 1) * layers,
                            .path_min_length = std::max(1, layers - 1),
                            .path_max_length = layers + std::max(1, layers / 4),
                            .free_path_choice = 2,
                            .free_path_value = 1,
                            .path_stride = layers};
  for (int parent = 0; parent < parents; ++parent)
    for (const char* group : kGroupNames)
      space.genes.push_back({fmt::format("coefficient {} {}", parent + 1, group), -0.2, 1.6});
  space.genes.push_back({"slerp_t", 0, 1});
  for (int parent = 0; parent < parents; ++parent)
    space.genes.push_back({fmt::format("ensemble weight {}", parent + 1), 0, 1});
  space.genes.push_back({"density", 0.2, 1});
  space.genes.push_back({"lambda", 0.3, 1.6});
  return space;
}

std::vector<evolve::Individual> MergeSeeds(int parents, int layers) {
  std::vector<evolve::Individual> seeds;
  for (int i = 0; i < 8; ++i) {
    evolve::Genome genome{.choices = {i / 4, i / 2 % 2, i % 2}};
    for (int parent = 0; parent < parents; ++parent)
      genome.genes.insert(genome.genes.end(), std::begin(kSeedCoefficients), std::end(kSeedCoefficients));
    genome.genes.push_back(0.5);
    genome.genes.insert(genome.genes.end(), static_cast<std::size_t>(parents), i / 4 == 0 ? 0.0 : 0.3);
    genome.genes.push_back(0.9);
    genome.genes.push_back(1.0);
    for (int layer = 0; layer < layers; ++layer) genome.path.push_back(layer);
    // The slerp seeds also start from a changed structure: one layer of a parent (frankenmerge), or one layer
    // twice (dfs).
    if (i / 4 == 1 && i % 2 == 0)
      genome.path[static_cast<std::size_t>(layers / 2)] += (1 + i / 2 % parents) * layers;
    if (i / 4 == 1 && i % 2 == 1) genome.path.insert(genome.path.begin() + layers / 2, layers / 2);
    seeds.push_back({evolve::IndividualId(0, i), 0, "seed", {}, std::move(genome), std::nullopt});
  }
  return seeds;
}

merge::MergeRecipe ToRecipe(const evolve::Genome& genome, int parents, int layers, std::uint64_t dare_seed) {
  merge::MergeRecipe recipe{.continuous = static_cast<merge::Continuous>(genome.choices[0]),
                            .ensemble = static_cast<merge::Ensemble>(genome.choices[1]),
                            .structure = static_cast<merge::Structure>(genome.choices[2]),
                            .dare_seed = dare_seed};
  auto gene = genome.genes.begin();
  for (int parent = 0; parent < parents; ++parent, gene += merge::kComponentGroups)
    recipe.coefficients.emplace_back(gene, gene + merge::kComponentGroups);
  recipe.slerp_t = *gene++;
  recipe.ensemble_weights.push_back(1);
  for (int parent = 0; parent < parents; ++parent) recipe.ensemble_weights.push_back(*gene++);
  recipe.density = *gene++;
  recipe.lambda = *gene++;
  for (const int entry : genome.path) recipe.layers.push_back({entry / layers, entry % layers});
  return recipe;
}

merge::MergeRecipe UniformRecipe(int parents, int layers) {
  return TaskArithmeticRecipe(parents, layers, 1.0 / parents);
}

merge::MergeRecipe TaskArithmeticRecipe(int parents, int layers, double lambda) {
  merge::MergeRecipe recipe;
  recipe.coefficients.assign(static_cast<std::size_t>(parents),
                             std::vector<double>(merge::kComponentGroups, lambda));
  recipe.ensemble_weights.assign(static_cast<std::size_t>(parents) + 1, 0.0);
  recipe.ensemble_weights[0] = 1;
  for (int layer = 0; layer < layers; ++layer) recipe.layers.push_back({0, layer});
  return recipe;
}

io::Json GenomeJson(const evolve::Genome& genome, int parents, int layers, std::uint64_t dare_seed) {
  io::Json json = DescribeRecipe(ToRecipe(genome, parents, layers, dare_seed));
  json["genome"] = {{"choices", genome.choices}, {"genes", genome.genes}, {"path", genome.path}};
  return json;
}

}  // namespace forge::pipeline
