// SPDX-License-Identifier: Apache-2.0
// The streaming merges against mergekit's numerics in float32, which hold whole tensors and were written
// apart from them, and against what the methods promise where mergekit's answer is a defect or a matter of
// chance.
#include "merge/exact/tensor_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "base/float16.h"
#include "base/philox.h"
#include "merge/mergekit_numerics.h"

namespace forge::merge {
namespace {

using Values = std::vector<float>;

/// A tensor of a few pieces, its last one short, with models that are near the base and have elements in
/// common.
struct Problem {
  TensorTask task;
  std::vector<Values> inputs;

  std::vector<std::span<const float>> Spans() const { return {inputs.begin(), inputs.end()}; }
  SourceReader Reader() const {
    return [this](std::size_t source, std::size_t first, std::span<float> out) {
      std::copy_n(inputs[source].begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
    };
  }
  Values Merge(std::uint64_t seed = 1) const {
    Values merged(task.size(), NAN);
    MergeTensor(task, seed, Reader(), [&](const Piece& piece, std::span<const float> values) {
      std::copy(values.begin(), values.end(), merged.begin() + static_cast<std::ptrdiff_t>(piece.first));
    });
    return merged;
  }
  Values AsMergekit() const {
    Values merged(task.size());
    MergeTensorAsMergekit(task, Spans(), 1, {}, merged);
    return merged;
  }
};

using Settings = std::map<std::string, double>;

/// `models` beside the base; base as the last source where the method has a role for one.
Problem Make(const std::string& method, std::size_t models, const Settings& settings = {},
             std::vector<std::int64_t> shape = {61, 700}) {
  Problem problem;
  TensorTask& task = problem.task;
  task.name = "model.layers.0.mlp.up_proj.weight";
  task.shape = std::move(shape);
  task.method = FindMethod(method);
  const bool has_base = task.method->base == BaseRole::kRequired;
  for (const ParameterRule& rule : task.method->parameters)
    if (!rule.per_model)
      task.parameters.shared[rule.name] =
          settings.contains(rule.name) ? settings.at(rule.name) : rule.default_value.value_or(0.4);
  Random random(7, "tensor_merge_test");
  Values base(task.size());
  for (float& value : base) value = static_cast<float>(random.Normal() * 0.02);
  for (std::size_t m = 0; m < models; ++m) {
    task.sources.push_back({static_cast<int>(m), task.name});
    TensorParameters::Values& own = task.parameters.of_source.emplace_back();
    for (const ParameterRule& rule : task.method->parameters)
      if (rule.per_model)
        own[rule.name] = settings.contains(rule.name) ? settings.at(rule.name)
                         : rule.name == "weight"      ? 0.3 + 0.2 * static_cast<double>(m)
                                                      : rule.default_value.value_or(0.4);
    Values& values = problem.inputs.emplace_back(base);
    for (float& value : values)
      if (random.Uniform() < 0.8) value += static_cast<float>(random.Normal() * 0.004);
  }
  if (!has_base) return problem;
  task.base = static_cast<int>(models);
  task.sources.push_back({task.base, task.name});
  task.parameters.of_source.emplace_back();
  problem.inputs.push_back(std::move(base));
  return problem;
}

double LargestDifference(const Values& a, const Values& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

struct Case {
  const char* method;
  std::size_t models;
  Settings settings;
};

class Twins : public testing::TestWithParam<Case> {};

// Values are below 0.2, so one rounding is at most 2^-27; a handful of them on each side, and sums of 42 700
// elements in another order (relative 1e-6 in what multiplies a tensor), stay below 1e-7.
TEST_P(Twins, AgreeInFloat32) {
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{61, 700}, {5}, {1, 1}}) {
    const Case& c = GetParam();
    const Problem problem = Make(c.method, c.models, c.settings, shape);
    EXPECT_LT(LargestDifference(problem.Merge(), problem.AsMergekit()), 1e-7) << c.method << " " << shape[0];
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryMethod, Twins,
    testing::Values(Case{"linear", 3, {}}, Case{"linear", 2, {{"normalize", 0}}},
                    Case{"slerp", 1, {{"t", 0.3}}}, Case{"nuslerp", 2, {}},
                    Case{"nuslerp", 2, {{"nuslerp_flatten", 0}}},
                    Case{"nuslerp", 2, {{"nuslerp_flatten", 0}, {"nuslerp_row_wise", 1}}},
                    Case{"passthrough", 1, {{"scale", 0.5}}}, Case{"multislerp", 3, {}},
                    Case{"karcher", 3, {}}, Case{"task_arithmetic", 3, {{"lambda", 0.8}}},
                    Case{"task_arithmetic", 2, {{"normalize", 1}}}, Case{"ties", 3, {{"density", 0.3}}},
                    Case{"ties", 2, {{"density", 1}}},
                    Case{"ties", 2, {{"density", 0.5}, {"rescale", 1}, {"lambda", 1.2}}},
                    Case{"ties", 3, {{"density", 0.4}, {"normalize", 0}}},
                    Case{"breadcrumbs", 2, {{"density", 0.6}, {"gamma", 0.05}}},
                    Case{"breadcrumbs", 2, {{"density", 0.9}, {"gamma", 0.3}, {"rescale", 1}}},
                    Case{"breadcrumbs_ties", 3, {{"density", 0.6}, {"gamma", 0.05}}},
                    Case{"sce", 3, {{"select_topk", 1}}}, Case{"sce", 3, {{"select_topk", 0.2}}},
                    Case{"ram", 3, {{"epsilon", 0.002}}}, Case{"ramplus_tl", 2, {{"epsilon", 0.002}}},
                    Case{"nearswap", 1, {{"t", 0.001}}}),
    [](const auto& tested) { return std::string(tested.param.method) + "_" + std::to_string(tested.index); });

TEST(ExactModelStock, IsTheFormulaWhereAnglesAreOrdinary) {
  // Changes of about 0.8 m with m shared: cosines near 1/2, so no limit is reached and the floor of mergekit
  // is far off.
  Problem problem = Make("model_stock", 3);
  for (std::size_t i = 0; i < problem.task.size(); ++i) {
    const float shared = 0.01f * std::sin(static_cast<float>(i));
    for (std::size_t m = 0; m < 3; ++m) problem.inputs[m][i] += shared;
  }
  EXPECT_LT(LargestDifference(problem.Merge(), problem.AsMergekit()), 1e-7);
}

TEST(ExactModelStock, StaysBetweenBaseAndMean) {
  Problem problem = Make("model_stock", 2, {}, {2});
  problem.inputs = {{1, 0.1f}, {-1, 0.1f}, {0, 0}};  // changes nearly opposite: mergekit's ratio is below 0
  EXPECT_EQ(problem.Merge(), (Values{0, 0}));
}

TEST(ExactArceeFusion, TakesOneOfTheTwoValuesEverywhere) {
  const Problem problem = Make("arcee_fusion", 1, {}, {300, 70});
  const Values merged = problem.Merge(), twin = problem.AsMergekit();
  std::size_t taken = 0, other = 0;
  for (std::size_t i = 0; i < merged.size(); ++i) {
    ASSERT_TRUE(merged[i] == problem.inputs[0][i] || merged[i] == problem.inputs[1][i]);
    taken += merged[i] == problem.inputs[0][i];
    other += std::fabs(merged[i] - twin[i]) > 1e-6f;  // divergences in float32 are mostly rounding there
  }
  EXPECT_GT(taken, merged.size() / 100);
  EXPECT_LT(taken, merged.size() / 2);
  EXPECT_LT(other, merged.size() / 20);
}

TEST(ExactTies, KeepsTheLowestIndexOfEqualMagnitudesAcrossPieces) {
  Problem problem = Make("ties", 1, {{"density", 0.5}}, {100, 1000});
  std::fill(problem.inputs[1].begin(), problem.inputs[1].end(), 0.0f);
  for (std::size_t i = 0; i < problem.task.size(); ++i) problem.inputs[0][i] = i % 2 == 0 ? 0.25f : -0.25f;
  const Values merged = problem.Merge();
  for (std::size_t i = 0; i < merged.size(); ++i)
    ASSERT_EQ(merged[i], i < 50'000 ? problem.inputs[0][i] : 0.0f) << i;
}

TEST(ExactTies, IsTheSameWithASampleOfALargeTensor) {
  const Problem problem = Make("ties", 2, {{"density", 0.3}}, {1100, 1000});
  EXPECT_LT(LargestDifference(problem.Merge(), problem.AsMergekit()), 1e-7);
}

TEST(ExactTies, CountsANegativeWeightByItsSize) {
  Problem problem = Make("ties", 2, {{"density", 1}}, {1});
  problem.inputs = {{1}, {-1}, {0}};
  problem.task.parameters.of_source[0]["weight"] = 1;
  problem.task.parameters.of_source[1]["weight"] = -0.5;
  EXPECT_EQ(problem.Merge(), (Values{1}));  // both vote +: (1 + 0.5) / (1 + 0.5); mergekit divides by 0.5
}

/// Share of changes that were kept, and of those that one merge keeps, the share another one keeps.
double KeptShare(const Values& merged, const Values& base) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < merged.size(); ++i) kept += merged[i] != base[i];
  return static_cast<double>(kept) / static_cast<double>(merged.size());
}

TEST(ExactDare, KeepsTheShareAndTheSumOfMagnitudes) {
  Problem problem = Make("dare_linear", 1, {{"density", 0.3}, {"weight", 1}});
  Values& model = problem.inputs[0];
  for (std::size_t i = 0; i < model.size(); ++i) model[i] = problem.inputs[1][i] + (i % 2 ? 0.01f : -0.01f);
  const Values merged = problem.Merge();
  // 42 700 draws: standard deviation 0.0022.
  EXPECT_NEAR(KeptShare(merged, problem.inputs[1]), 0.3, 0.01);
  double before = 0, after = 0;
  for (std::size_t i = 0; i < merged.size(); ++i) {
    before += std::fabs(static_cast<double>(model[i]) - static_cast<double>(problem.inputs[1][i]));
    after += std::fabs(static_cast<double>(merged[i]) - static_cast<double>(problem.inputs[1][i]));
  }
  EXPECT_NEAR(after / before, 1, 1e-5);
}

TEST(ExactDare, DependsOnSeedNameAndSourceOnly) {
  const Problem problem = Make("dare_ties", 2, {{"density", 0.5}});
  EXPECT_EQ(problem.Merge(), problem.Merge());
  EXPECT_NE(problem.Merge(1), problem.Merge(2));
  Problem renamed = problem;
  renamed.task.name = "another";
  EXPECT_NE(renamed.Merge(), problem.Merge());
}

TEST(ExactDare, DrawsForEachModelAnew) {
  Problem problem = Make("dare_linear", 2, {{"density", 0.5}, {"weight", 1}, {"rescale", 0}});
  Values &first = problem.inputs[0], &second = problem.inputs[1], &base = problem.inputs[2];
  for (std::size_t i = 0; i < base.size(); ++i) base[i] = 0, first[i] = 1, second[i] = 2;
  const Values merged = problem.Merge();
  for (const float value : {0.0f, 1.0f, 2.0f, 3.0f})  // neither, one, the other, both: a quarter each
    EXPECT_NEAR(static_cast<double>(std::count(merged.begin(), merged.end(), value)) / 42'700, 0.25, 0.01)
        << value;
}

TEST(ExactDare, KeepsWithALargerDensityWhatASmallerOneKept) {
  const Values few = Make("dare_linear", 1, {{"density", 0.2}, {"rescale", 0}}).Merge(),
               many = Make("dare_linear", 1, {{"density", 0.6}, {"rescale", 0}}).Merge();
  const Values base = Make("dare_linear", 1).inputs[1];
  for (std::size_t i = 0; i < base.size(); ++i) ASSERT_TRUE(few[i] == base[i] || many[i] != base[i]) << i;
}

TEST(ExactDella, KeepsLargeChangesMoreOftenByRank) {
  Problem problem =
      Make("della_linear", 1, {{"density", 0.5}, {"epsilon", 0.2}, {"rescale", 0}}, {400, 1000});
  Values &model = problem.inputs[0], &base = problem.inputs[1];
  // In each row a permutation of 1 .. 1000: the rank of an element is its change.
  for (std::size_t i = 0; i < base.size(); ++i) {
    base[i] = 0;
    model[i] = static_cast<float>(i % 1000 * 7 % 1000 + 1);
  }
  const Values merged = problem.Merge();
  for (int tenth = 0; tenth < 10; ++tenth) {
    std::size_t kept = 0, all = 0;
    for (std::size_t i = 0; i < merged.size(); ++i) {
      if (static_cast<int>((model[i] - 1) / 100) != tenth) continue;
      ++all;
      kept += merged[i] != 0;
    }
    // p runs from 0.3 to 0.7; 40 000 draws: standard deviation 0.0025. Bins of an octave's 32nd add 0.003.
    EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(all), 0.3 + 0.4 * (tenth + 0.5) / 10, 0.012)
        << tenth;
  }
}

TEST(ExactDella, RefusesProbabilitiesOutsideZeroToOne) {
  EXPECT_THROW(Make("della", 2, {{"density", 0.1}, {"epsilon", 0.15}}).Merge(), Error);
  EXPECT_THROW(Make("della", 2, {{"density", 0.9}, {"epsilon", 0.15}}).Merge(), Error);
}

TEST(ExactSlerp, MixesLinearlyWhereOneModelIsZero) {
  Problem problem = Make("slerp", 1, {{"t", 0.5}}, {2});
  problem.inputs = {{3, 4}, {0, 0}};
  EXPECT_EQ(problem.Merge(), (Values{1.5f, 2}));  // mergekit: sin(pi / 4) x
}

TEST(ExactNuslerp, MixesOppositeModelsLinearly) {
  Problem problem = Make("nuslerp", 2, {}, {3});
  problem.inputs = {{1, 2, 3}, {-1, -2, -3}};
  problem.task.parameters.of_source[0]["weight"] = 0.75;
  problem.task.parameters.of_source[1]["weight"] = 0.25;
  EXPECT_EQ(problem.Merge(), (Values{0.5f, 1, 1.5f}));
}

TEST(ExactLinear, RefusesWeightsThatSumToZero) {
  Problem problem = Make("linear", 2, {}, {3});
  problem.task.parameters.of_source[0]["weight"] = 0.5;
  problem.task.parameters.of_source[1]["weight"] = -0.5;
  EXPECT_THROW(problem.Merge(), Error);
}

/// Every method that reads bfloat16 as it is stored, with passes that keep, count and draw.
TEST(MergeTensor, GivesOfStoredBFloat16TheBytesOfItsFloats) {
  const Case cases[] = {{"linear", 3, {}},
                        {"slerp", 1, {{"t", 0.3}}},
                        {"nuslerp", 2, {{"nuslerp_flatten", 0}, {"nuslerp_row_wise", 1}}},
                        {"model_stock", 2, {{"filter_wise", 1}}},
                        {"task_arithmetic", 3, {}},
                        {"ties", 3, {{"density", 0.3}, {"rescale", 1}}},
                        {"breadcrumbs", 2, {{"density", 0.5}, {"gamma", 0.1}}},
                        {"dare_ties", 3, {{"density", 0.4}}},
                        {"della", 2, {{"density", 0.5}}},
                        {"sce", 2, {{"select_topk", 0.2}}}};
  for (const Case& c : cases) {
    Problem problem = Make(c.method, c.models, c.settings, {301, 700});
    std::vector<std::vector<std::uint16_t>> stored;
    for (Values& values : problem.inputs) {
      std::vector<std::uint16_t>& halves = stored.emplace_back();
      for (float& value : values)
        halves.push_back(FloatToBFloat16(value)), value = BFloat16ToFloat(halves.back());
    }
    std::atomic<std::size_t> found{0};
    const StoredReader find = [&](std::size_t source, std::size_t first, std::size_t size, bool) {
      found += size;
      return merge::Values{stored[source].data() + first, true};
    };
    Values merged(problem.task.size());
    MergeTensor(
        problem.task, 1, problem.Reader(),
        [&](const Piece& piece, std::span<const float> values) {
          std::copy(values.begin(), values.end(), merged.begin() + static_cast<std::ptrdiff_t>(piece.first));
        },
        find);
    EXPECT_EQ(merged, problem.Merge()) << c.method;
    const bool widens = std::string_view(c.method) == "sce" || c.settings.contains("nuslerp_row_wise");
    EXPECT_EQ(found == 0, widens) << c.method;
  }
}

TEST(MergeTensor, AsksForAPieceAgainWhereAPassFollows) {
  const Problem problem = Make("dare_ties", 2, {{"density", 0.4}});
  std::mutex mutex;
  std::map<std::size_t, std::vector<bool>> asked;  // of source 0, by first element
  const StoredReader find = [&](std::size_t source, std::size_t first, std::size_t, bool again) {
    const std::lock_guard lock(mutex);
    if (source == 0) asked[first].push_back(again);
    return merge::Values{};  // read it widened
  };
  MergeTensor(
      problem.task, 1, problem.Reader(), [](const Piece&, std::span<const float>) {}, find);
  EXPECT_GT(asked.size(), 1u);
  for (const auto& [first, again] : asked) EXPECT_EQ(again, (std::vector<bool>{true, false})) << first;
}

TEST(MergeTensor, HandsOnWhatAReaderThrows) {
  const Problem problem = Make("ties", 2, {{"density", 0.5}});
  const SourceReader failing = [&](std::size_t source, std::size_t first, std::span<float> out) {
    if (first > 20'000) throw Error({.what = "gone", .why = "the file", .fix = "none"});
    problem.Reader()(source, first, out);
  };
  EXPECT_THROW(MergeTensor(problem.task, 1, failing, [](const Piece&, std::span<const float>) {}), Error);
}

TEST(MergeTensor, LetsNoPieceWaitForOneThatFailed) {
  Problem problem = Make("ties", 1, {{"density", 0.5}}, {100, 1000});
  std::fill(problem.inputs[1].begin(), problem.inputs[1].end(), 0.0f);
  std::fill(problem.inputs[0].begin(), problem.inputs[0].end(),
            0.25f);  // all equal: pieces count on each other
  std::atomic<int> passes{0};
  const SourceReader failing = [&](std::size_t source, std::size_t first, std::span<float> out) {
    if (source == 0 && first == 0) ++passes;
    if (passes >= 3 && first == 32'000) throw Error({.what = "gone", .why = "the file", .fix = "none"});
    problem.Reader()(source, first, out);
  };
  for (int pass = 1; pass <= 3; ++pass) {  // whichever pass it is that fails
    passes = 3 - pass;
    EXPECT_THROW(MergeTensor(problem.task, 1, failing, [](const Piece&, std::span<const float>) {}), Error);
  }
}

}  // namespace
}  // namespace forge::merge
