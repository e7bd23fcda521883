// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "io/safetensors.h"
#include "merge/mergekit_numerics.h"
#include "merge/stored_choices.h"
#include "merge/testing_golden_merges.h"
#include "merge/testing_tensor_tasks.h"

namespace forge::merge {
namespace {

using merge::testing::Example;
using merge::testing::GoldenMerge;
using merge::testing::GoldenMerges;
using merge::testing::Merged;

/// How far forge is from mergekit in one case.
struct Comparison {
  bool is_16_bit = false;  // computed or stored in 16 bits somewhere
  bool has_sums = false;   // over a tensor or a matrix product: torch adds up in an order of its own
  std::size_t elements = 0, unequal = 0;
  std::size_t swapped = 0;  // unequal, but each of the two is one of the inputs, to a rounding
  double difference = 0;    // largest, relative to the tensor's largest element
};

bool HasSums(const GoldenMerge& merge, const TensorTask& task) {
  static const std::set<std::string> kOverTensors{"slerp",       "nuslerp", "multislerp",  "karcher",
                                                  "model_stock", "sce",     "arcee_fusion"};
  if (kOverTensors.contains(task.method->name)) return true;
  for (const std::string& model : merge.plan.models)
    if (model.find('+') != std::string::npos) return true;  // an adapter's product
  return task.method->Find("rescale") != nullptr && task.parameters.Get("rescale") != 0;
}

void Compare(const std::vector<std::vector<float>>& inputs, const std::vector<float>& merged,
             const std::vector<float>& golden, Comparison& comparison) {
  float largest = 0;
  for (const float value : golden) largest = std::max(largest, std::abs(value));
  comparison.elements += golden.size();
  for (std::size_t i = 0; i < golden.size(); ++i) {
    if (merged[i] == golden[i]) continue;
    ++comparison.unequal;
    const auto is_input = [&](float value) {
      return std::any_of(inputs.begin(), inputs.end(), [&](const std::vector<float>& input) {
        return std::abs(value - input[i]) <= 0x1p-23f * largest;
      });
    };
    comparison.swapped += is_input(merged[i]) && is_input(golden[i]);
    const auto difference = static_cast<double>(std::abs(merged[i] - golden[i]));
    comparison.difference = std::max(comparison.difference, difference / static_cast<double>(largest));
  }
}

std::vector<float> ReadAll(const io::SafetensorsFile& file, const std::string& name) {
  std::vector<float> values(file.Get(name).size());
  file.ReadFloats(name, values);
  return values;
}

Comparison CompareCase(const std::filesystem::path& folder) {
  const GoldenMerge merge(folder);
  const io::SafetensorsFile golden(folder / "model.safetensors");
  EXPECT_EQ(merge.plan.tensors.size(), golden.entries().size());
  StoredChoices choices;
  if (std::filesystem::exists(folder / "masks.safetensors"))
    choices = ReadStoredChoices(folder / "masks.safetensors", merge.plan.models);
  Comparison comparison;
  for (const TensorTask& task : merge.plan.tensors) {
    const std::vector<std::vector<float>> inputs = merge.Inputs(task);
    std::vector<float> merged(task.size());
    MergeTensorAsMergekit(task, {inputs.begin(), inputs.end()}, 1, choices, merged);
    comparison.is_16_bit |= task.work_type != io::FloatType::kF32 || task.out_type != io::FloatType::kF32;
    comparison.has_sums |= HasSums(merge, task);
    Compare(inputs, merged, ReadAll(golden, task.name), comparison);
  }
  return comparison;
}

// Where sums over a tensor are rounded to float32 torch's differ by a unit in the last place, 2^-23, and up
// to four such numbers multiply an element (two lengths, the cosine, the quotient of sines): 4 * 2^-23. Arcee
// fusion compares importances that are differences of such sums: where the models are close, float32 and
// float64 disagree about 0.15 % of the elements (README of the golden files, quirk 10); 0.2 % are allowed.
TEST(MergekitGolden, EveryCaseIsReproduced) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/mergekit/cases.json");
  std::size_t cases = 0;
  for (const io::Json& one : io::ReadJsonFile(GoldenMerges() / "cases.json")) {
    const auto name = one["name"].get<std::string>();
    SCOPED_TRACE(name);
    const Comparison comparison = CompareCase(GoldenMerges() / "cases" / name);
    ++cases;
    RecordProperty(name, fmt::format("{} of {} unequal, by {:.2e} of the largest element", comparison.unequal,
                                     comparison.elements, comparison.difference));
    if (comparison.is_16_bit || !comparison.has_sums) {
      EXPECT_EQ(comparison.unequal, 0u) << "of " << comparison.elements;
    } else if (name.starts_with("arcee_fusion")) {
      EXPECT_LE(comparison.unequal, comparison.elements / 500);
      EXPECT_EQ(comparison.swapped, comparison.unequal);
    } else {
      EXPECT_LE(comparison.difference, 4 * 0x1p-23);
    }
  }
  EXPECT_EQ(cases, 65u);
}

// Without the file of choices the first of equal magnitudes are kept, which are not the ones torch kept.
TEST(MergekitGolden, StoredChoicesDecideBetweenEqualMagnitudes) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/mergekit/cases/ties_bf16");
  const std::filesystem::path folder = GoldenMerges() / "cases/ties_bf16";
  const GoldenMerge merge(folder);
  const io::SafetensorsFile golden(folder / "model.safetensors");
  Comparison comparison;
  for (const TensorTask& task : merge.plan.tensors) {
    const std::vector<std::vector<float>> inputs = merge.Inputs(task);
    std::vector<float> merged(task.size());
    MergeTensorAsMergekit(task, {inputs.begin(), inputs.end()}, 1, {}, merged);
    Compare(inputs, merged, ReadAll(golden, task.name), comparison);
  }
  EXPECT_NEAR(static_cast<double>(comparison.unequal) / static_cast<double>(comparison.elements), 0.01,
              0.001);
}

/// "inf", "-inf" and "nan" are texts there.
std::vector<float> FloatsOf(const io::Json& values) {
  std::vector<float> floats;
  for (const io::Json& value : values)
    floats.push_back(value.is_string() ? std::stof(value.get<std::string>()) : value.get<float>());
  return floats;
}

Example ExampleOf(const io::Json& edge) {
  Example example{.method = edge["method"], .shape = edge["shape"].get<std::vector<std::int64_t>>()};
  for (const io::Json& input : edge["inputs"]) example.inputs.push_back(FloatsOf(input));
  if (!edge["base_index"].is_null()) example.base = edge["base_index"].get<int>();
  const std::size_t models = example.inputs.size() - (example.base >= 0 ? 1 : 0);
  example.of_model.resize(std::max<std::size_t>(1, models));
  for (const auto& [name, value] : edge["parameters"].items()) {
    if (value.is_array()) {
      for (std::size_t m = 0; m < models; ++m) example.of_model[m][name] = value[m].get<double>();
    } else if (!value.is_object()) {
      example.shared[name] = value.is_boolean() ? value.get<bool>() : value.get<double>();
    }
  }
  example.work_type = io::ParseFloatType(edge["dtype"].get<std::string>());
  example.out_type = io::ParseFloatType(edge.value("output_dtype", "float32"));
  return example;
}

/// The largest difference, relative to the largest element; 0 where both are NaN or the same infinity.
double DifferenceOf(const std::vector<float>& merged, const std::vector<float>& golden) {
  double largest = 0, difference = 0;
  for (const float value : golden)
    if (std::isfinite(value)) largest = std::max(largest, static_cast<double>(std::abs(value)));
  for (std::size_t i = 0; i < golden.size(); ++i) {
    if (merged[i] == golden[i] || (std::isnan(merged[i]) && std::isnan(golden[i]))) continue;
    const auto apart = static_cast<double>(std::abs(merged[i] - golden[i]));
    difference = std::max(difference, std::isfinite(apart) ? apart / largest : 1);
  }
  return difference;
}

// The bound of the cases, times what the edge itself multiplies errors by: with model stock's negative cosine
// c, 1 + c is 1 / 44 of c; at nuslerp's widest angle, 155 degrees, the factors are divided by a sine of 1
// / 2.4.
TEST(MergekitGolden, EveryEdgeIsReproduced) {
  FORGE_SKIP_WITHOUT_SHARED("data/golden/mergekit/edges.json");
  std::size_t compared = 0, refused = 0;
  for (const io::Json& edge : io::ReadJsonFile(GoldenMerges() / "edges.json")) {
    const auto what = edge["what"].get<std::string>();
    SCOPED_TRACE(what);
    if (what.find("not a target") != std::string::npos) continue;
    const Example example = ExampleOf(edge);
    if (edge.contains("error")) {
      EXPECT_THROW(Merged(example), Error);
      ++refused;
      continue;
    }
    const double amplification = what.find("negative cos") != std::string::npos  ? 44
                                 : what.find("each column") != std::string::npos ? 2.4
                                                                                 : 1;
    const double bound = example.work_type == io::FloatType::kF32 ? amplification * 4 * 0x1p-23 : 0;
    EXPECT_LE(DifferenceOf(Merged(example), FloatsOf(edge["output"])), bound);
    ++compared;
  }
  EXPECT_EQ(compared, 81u);
  EXPECT_EQ(refused, 3u);
}

}  // namespace
}  // namespace forge::merge
