// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "merge/recipe.h"

/// For tests only.
namespace forge::merge::testing {

/// Sources of a recipe that are weights in memory, which must outlive them.
class SourcesInMemory {
 public:
  SourcesInMemory(const model::ModelConfig& config, const model::ModelWeights& base,
                  const std::vector<const model::ModelWeights*>& parents)
      : sources_{&config, Keep(config, base), {}} {
    for (const model::ModelWeights* parent : parents) sources_.parents.push_back(Keep(config, *parent));
  }
  operator const MergeSources&() const { return sources_; }  // NOLINT: stands for them

 private:
  const model::WeightSource* Keep(const model::ModelConfig& config, const model::ModelWeights& weights) {
    kept_.push_back(model::WeightsInMemory(config, weights));
    return kept_.back().get();
  }
  std::vector<std::unique_ptr<model::WeightSource>> kept_;
  MergeSources sources_;
};

}  // namespace forge::merge::testing
