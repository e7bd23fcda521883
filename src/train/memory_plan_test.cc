// SPDX-License-Identifier: Apache-2.0
#include "train/memory_plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/testing_models.h"

namespace forge::train {
namespace {

using model::testing::TinyConfig;

MemoryRequest Request(int rows = 8) { return {.rows = rows, .length = 64, .threads = 2}; }

// TinyConfig: P weights, 4 bytes each; gradients as many and two of the largest tensor on the way, which is
// an MLP linear of 128 * 64; two moments.
TEST(MemoryPlan, CountsWeightsGradientsAndMoments) {
  const model::ModelConfig config = TinyConfig();
  const auto weights = static_cast<std::uint64_t>(model::CountParameters(config));
  const MemoryPlan plan = PlanMemory(config, Request(), 4, false);
  EXPECT_EQ(plan.weights, 4 * weights);
  EXPECT_EQ(plan.gradients, 4 * weights + 2 * 4 * 128 * 64);
  EXPECT_EQ(plan.moments, 8 * weights);
  EXPECT_EQ(plan.micro_batches, 2);
}

TEST(MemoryPlan, AnAdapterHasGradientsAndMomentsOfItsFactorsAlone) {
  MemoryRequest request = Request();
  request.lora = {.rank = 4, .alpha = 8, .targets = {"q_proj"}};
  const MemoryPlan plan = PlanMemory(TinyConfig(), request, 4, false);
  EXPECT_EQ(plan.moments, 8u * 2 * 4 * (64 + 64));  // 2 layers, q_proj is [64, 64]
}

TEST(MemoryPlan, CountsATeacherAndTernaryValuesAndOnlyWhatIsTrained) {
  const model::ModelConfig config = TinyConfig();
  const auto weights = static_cast<std::uint64_t>(model::CountParameters(config));
  std::uint64_t linears = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config))
    if (model::IsLinear(spec)) linears += static_cast<std::uint64_t>(spec.shape[0] * spec.shape[1]);
  MemoryRequest request = Request();
  request.has_teacher = request.is_ternary = true;
  request.trainable = model::IsLinear;
  const MemoryPlan plan = PlanMemory(config, request, 4, false);
  EXPECT_EQ(plan.weights, 2 * 4 * weights + 4 * linears);
  EXPECT_EQ(plan.moments, 8 * linears);
  EXPECT_GT(plan.activations, PlanMemory(config, Request(), 4, false).activations);
}

TEST(MemoryPlan, ChoosesLargeMicroBatchesThenSmallOnesThenToComputeAgain) {
  const model::ModelConfig config = TinyConfig();
  const auto at = [&](int rows, bool recompute) { return PlanMemory(config, Request(), rows, recompute); };
  EXPECT_GT(at(4, false).total(), at(2, false).total());
  EXPECT_GT(at(1, false).total(), at(1, true).total());
  EXPECT_EQ(ChooseMemoryPlan(config, Request(), at(4, false).total()).micro_rows, 4);
  EXPECT_EQ(ChooseMemoryPlan(config, Request(), at(4, false).total() - 1).micro_rows, 2);
  const MemoryPlan tight = ChooseMemoryPlan(config, Request(), at(1, true).total());
  EXPECT_TRUE(tight.recompute_activations);
  EXPECT_EQ(tight.micro_batches, 8);
}

TEST(MemoryPlan, RefusesALimitThatIsTooSmallWithTheSmallestThatWouldDo) {
  const model::ModelConfig config = TinyConfig();
  const std::uint64_t smallest = PlanMemory(config, Request(), 1, true).total();
  try {
    ChooseMemoryPlan(config, Request(), smallest - 1);
    FAIL() << "it was not refused";
  } catch (const Error& error) {
    const std::string fix = error.fields().fix;
    const double named = std::stod(fix.substr(fix.find("gb ") + 3));
    EXPECT_NO_THROW(ChooseMemoryPlan(config, Request(), static_cast<std::uint64_t>(named * 1e9)));
    EXPECT_LT(named, static_cast<double>(smallest) / 1e9 + 0.02);
  }
}

TEST(MemoryPlan, WithoutALimitDoesNotDependOnTheNumberOfThreads) {
  for (const int threads : {1, 2, 64}) {
    MemoryRequest request = Request(64);
    request.threads = threads;
    EXPECT_EQ(ChooseMemoryPlan(TinyConfig(), request, 0).micro_rows, 16);
  }
}

}  // namespace
}  // namespace forge::train
