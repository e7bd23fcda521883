// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "merge/recipe.h"

namespace forge::pipeline {

/// How the parents' changes from the base lie to each other, over all weights.
struct ChangeAngles {
  std::vector<double> lengths;               // [parents]
  std::vector<std::vector<double>> cosines;  // [parents, parents]; 0 where a change is 0
};

/// From the products of the changes of each tensor (TensorStatistics::ChangeProducts), which come from
/// sources.statistics where they are known. Otherwise each tensor of all models is read once, in float32, the
/// products exact and summed in double.
ChangeAngles MeasureChangeAngles(const merge::MergeSources& sources);

/// "lengths 1.52, 1.49; cosines 0.12": the cosines of each pair, first with second, first with third, ..
std::string Describe(const ChangeAngles& angles);

}  // namespace forge::pipeline
