// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/merge_config.h"
#include "model/weight_source.h"

namespace forge::merge {

/// A slice with its models found.
struct SlicePlan {
  const SliceConfig* config = nullptr;
  std::vector<int> models;        // [sources] index into ModelsOf
  std::vector<int> first_layers;  // [sources]
  int layers = 0;
  int base = -1;  // index into sources; -1: none, or one without a role

  std::size_t size() const { return models.size(); }  // sources
};

struct SlicePlans {
  std::vector<SlicePlan> slices;
  SlicePlan tail;  // what final norm and head are made of: the last slice, or its first sources
};

/// Finds the models and layers of all slices of a config; `models` are those of ModelsOf. With
/// `cut_tail`, the tail has at most as many sources as the first slice. Throws Error(kInput) with everything
/// that does not fit the models or the method. The config must outlive the answer.
SlicePlans PlanSlices(const MergeConfig& config, const std::vector<const model::WeightSource*>& models,
                      bool cut_tail);

}  // namespace forge::merge
