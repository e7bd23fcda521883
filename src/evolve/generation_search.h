// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace forge::evolve {

/// What can be varied: choices, real genes in a box, and a path over an alphabet. Knows nothing of models.
struct Genome {
  std::vector<int> choices;
  std::vector<double> genes;
  std::vector<int> path;
  bool operator==(const Genome&) const = default;
};

struct GenomeSpace {
  struct Gene {
    std::string name;
    double low, high;
  };
  std::vector<int> choice_sizes;
  std::vector<Gene> genes;
  int path_alphabet = 0;  // path entries are 0 .. path_alphabet - 1; 0: no path
  int path_min_length = 0, path_max_length = 0;
  /// Which choice (and which value of it) lets the path change its length and order; -1: never.
  int free_path_choice = -1, free_path_value = 0;
  /// Entries that a path position may take when the length is fixed: position + k * stride, k = 0, 1, ..
  int path_stride = 1;
};

struct Individual {
  std::string id;  // "g003_c05": unique in a run
  int generation = 0;
  std::string origin;                // "seed", "mutant", "average", "reference"
  std::vector<std::string> parents;  // ids
  Genome genome;
  std::optional<double> score;  // higher is better; nothing until evaluated
};

struct GenerationSearchConfig {
  int mutants_per_winner = 3;
  int winners = 2;
  int losers = 6;               // the worst of the last generation, averaged in groups of three
  double mutation_rate = 0.15;  // sd of a gene's change, as a share of its range
  double choice_rate = 0.1;     // probability that a choice is drawn anew
  double path_rate = 0.25;      // probability that the path changes
  std::uint64_t seed = 1;
};

/// The next generation, as a pure function of everything evaluated so far (so that a stopped search goes on
/// from its journal of rows): the best two individuals ever seen (elitism; references such as the parents do
/// not breed) each give three mutants, whose steps are 1/2, 1 and 2 times mutation_rate; the worst six of the
/// last generation are averaged in threes. Children are never copies of a genome already seen if that can be
/// helped. Scores that are equal are ordered by id. Follows the original (original-agent-forge.md 1.2) with
/// its losses mended: mutation changes genes, not weights, and the best is never lost.
std::vector<Individual> NextGeneration(const std::vector<Individual>& evaluated, int generation,
                                       const GenomeSpace& space, const GenerationSearchConfig& config);

/// Id of candidate `index` of a generation.
std::string IndividualId(int generation, int index);

/// The individuals with a score, the best first (ties: lower id first).
std::vector<const Individual*> Ranked(const std::vector<Individual>& individuals);

}  // namespace forge::evolve
