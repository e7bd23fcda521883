// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit_numerics.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "merge/mergekit/arcee_fusion.h"
#include "merge/mergekit/linear.h"
#include "merge/mergekit/model_stock.h"
#include "merge/mergekit/nearswap.h"
#include "merge/mergekit/ram.h"
#include "merge/mergekit/sce.h"
#include "merge/mergekit/spherical.h"
#include "merge/mergekit/task_arithmetic.h"

namespace forge::merge {
namespace {

using mergekit::Operands;
using mergekit::Sparsifier;

struct Method {
  std::string_view name;
  void (*merge)(const Operands&, std::span<float>);
};

template <Sparsifier kSparsifier, bool kElectSigns>
void TaskArithmetic(const Operands& operands, std::span<float> out) {
  mergekit::TaskArithmetic(operands, kSparsifier, kElectSigns, out);
}

constexpr Method kMethods[] = {
    {"linear", mergekit::Linear},
    {"passthrough", mergekit::Passthrough},
    {"slerp", mergekit::Slerp},
    {"nuslerp", mergekit::Nuslerp},
    {"multislerp", mergekit::Multislerp},
    {"karcher", mergekit::Karcher},
    {"model_stock", mergekit::ModelStock},
    {"sce", mergekit::Sce},
    {"ram", mergekit::Ram},
    {"ramplus_tl", mergekit::RamPlus},
    {"nearswap", mergekit::Nearswap},
    {"arcee_fusion", mergekit::ArceeFusion},
    {"task_arithmetic", TaskArithmetic<Sparsifier::kNone, false>},
    {"ties", TaskArithmetic<Sparsifier::kMagnitude, true>},
    {"breadcrumbs", TaskArithmetic<Sparsifier::kOutliers, false>},
    {"breadcrumbs_ties", TaskArithmetic<Sparsifier::kOutliers, true>},
    {"dare_linear", TaskArithmetic<Sparsifier::kRandom, false>},
    {"dare_ties", TaskArithmetic<Sparsifier::kRandom, true>},
    {"della_linear", TaskArithmetic<Sparsifier::kRandomByMagnitude, false>},
    {"della", TaskArithmetic<Sparsifier::kRandomByMagnitude, true>},
};

const Method& MethodOf(const TensorTask& task) {
  const auto* const found = std::find_if(std::begin(kMethods), std::end(kMethods), [&](const Method& method) {
    return method.name == task.method->name;
  });
  FORGE_CHECK(found != std::end(kMethods));  // each method of the table has one
  return *found;
}

}  // namespace

void MergeTensorAsMergekit(const TensorTask& task, const std::vector<std::span<const float>>& inputs,
                           std::uint64_t seed, const StoredChoices& choices, std::span<float> out) {
  FORGE_CHECK(inputs.size() == task.sources.size() && !inputs.empty() && out.size() == task.size());
  for (const std::span<const float> input : inputs) FORGE_CHECK(input.size() == out.size());
  FORGE_CHECK(task.base < static_cast<int>(inputs.size()));
  if (out.empty()) return;
  MethodOf(task).merge({task, inputs, seed, choices, mergekit::Rounder(task.work_type)}, out);
  const mergekit::Rounder round_result(task.out_type);
  for (float& value : out) value = round_result(value);
}

}  // namespace forge::merge
