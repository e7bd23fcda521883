// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "merge/mergekit_numerics.h"
#include "merge/stored_choices.h"
#include "merge/testing_golden_merges.h"

namespace forge::merge {
namespace {

using merge::testing::GoldenMerge;
using merge::testing::GoldenMerges;

/// How far forge is from mergekit in one case.
struct Comparison {
  bool is_16_bit = false;  // computed or stored in 16 bits: must be bit-equal
  std::size_t elements = 0, unequal = 0;
  std::size_t swapped = 0;  // unequal, but exactly one of the inputs
  double difference = 0;    // largest, relative to the tensor's largest element
};

void Compare(const TensorTask& task, const std::vector<std::vector<float>>& inputs,
             const std::vector<float>& merged, const std::vector<float>& golden, Comparison& comparison) {
  float largest = 0;
  for (const float value : golden) largest = std::max(largest, std::abs(value));
  comparison.is_16_bit |= task.work_type != io::FloatType::kF32 || task.out_type != io::FloatType::kF32;
  comparison.elements += golden.size();
  for (std::size_t i = 0; i < golden.size(); ++i) {
    if (merged[i] == golden[i]) continue;
    ++comparison.unequal;
    for (const std::vector<float>& input : inputs) comparison.swapped += merged[i] == input[i];
    comparison.difference =
        std::max(comparison.difference,
                 static_cast<double>(std::abs(merged[i] - golden[i])) / static_cast<double>(largest));
  }
}

Comparison CompareCase(const std::filesystem::path& folder) {
  GoldenMerge merge(folder);
  EXPECT_EQ(merge.tasks.size(), merge.golden.size());
  StoredChoices choices;
  if (std::filesystem::exists(folder / "masks.safetensors"))
    choices = ReadStoredChoices(folder / "masks.safetensors", merge.models);
  Comparison comparison;
  for (const TensorTask& task : merge.tasks) {
    const std::vector<std::vector<float>> inputs = merge.Inputs(task);
    std::vector<float> merged(task.size());
    MergeTensorAsMergekit(task, {inputs.begin(), inputs.end()}, 1, choices, merged);
    Compare(task, inputs, merged, merge.golden.at(task.name).values, comparison);
  }
  return comparison;
}

TEST(MergekitGolden, EveryCase) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/mergekit/cases");
  for (const io::Json& one : io::ReadJsonFile(GoldenMerges() / "cases.json")) {
    const auto name = one["name"].get<std::string>();
    const Comparison c = CompareCase(GoldenMerges() / "cases" / name);
    std::printf(
        "%-32s %d unequal %6zu of %6zu (%7.3f %% equal), swapped %zu, largest relative difference %.2e\n",
        name.c_str(), c.is_16_bit, c.unequal, c.elements, 100 - 100.0 * c.unequal / c.elements, c.swapped,
        c.difference);
  }
}

}  // namespace
}  // namespace forge::merge
