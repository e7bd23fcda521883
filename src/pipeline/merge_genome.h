// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evolve/generation_search.h"
#include "io/json_file.h"
#include "merge/recipe.h"

namespace forge::pipeline {

/// How a genome of the search reads as a merge recipe. Genes, in order: coefficients [parent][component
/// group] in
/// [-0.2, 1.6], slerp_t [0, 1], the ensemble weights of the parents [0, 1] (that of the continuous merge is
/// 1), density [0.2, 1], lambda [0.3, 1.6]. Choices: continuous, ensemble, structure. Path entries: source *
/// layers + layer.
evolve::GenomeSpace MergeGenomeSpace(int parents, int layers);

/// The eight seeds of the original: {linear, slerp} x {ties, dare} x {frankenmerge, dfs}.
std::vector<evolve::Individual> MergeSeeds(int parents, int layers);

merge::MergeRecipe ToRecipe(const evolve::Genome& genome, int parents, int layers, std::uint64_t dare_seed);

/// The plain average of the parents.
merge::MergeRecipe UniformRecipe(int parents, int layers);

/// Task arithmetic (Ilharco et al. 2023, arXiv:2212.04089, equation 1): base + lambda * sum of task vectors.
merge::MergeRecipe TaskArithmeticRecipe(int parents, int layers, double lambda);

/// For the store: the recipe in words, and the raw genome.
io::Json GenomeJson(const evolve::Genome& genome, int parents, int layers, std::uint64_t dare_seed);

}  // namespace forge::pipeline
