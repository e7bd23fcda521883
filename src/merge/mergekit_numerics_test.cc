// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit_numerics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "merge/mergekit/rounding.h"
#include "merge/testing_tensor_tasks.h"

namespace forge::merge {
namespace {

using io::FloatType;
using merge::testing::Example;
using merge::testing::Merged;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

/// Numbers of size 1 that are right to two units in the last place of float32.
auto Near(std::vector<float> expected) { return Pointwise(FloatNear(2.4e-7f), std::move(expected)); }

// Above 1 bfloat16 has steps of 2^-7 = 2/256: 1 + 1/256 is half way and goes to the even 1, 1 + 3/256 to
// 1 + 4/256. float16 has steps of 2 from 2048 on and ends at 65504; half a step more is infinity.
TEST(Rounder, RoundsToNearestEven) {
  const mergekit::Rounder bf16(FloatType::kBF16), f16(FloatType::kF16), f32(FloatType::kF32);
  EXPECT_EQ(bf16(1 + 1.0f / 256), 1);
  EXPECT_EQ(bf16(1 + 3.0f / 256), 1 + 4.0f / 256);
  EXPECT_EQ(f16(2049.0f), 2048);
  EXPECT_EQ(f16(65520.0f), std::numeric_limits<float>::infinity());
  EXPECT_EQ(f32(1 + 3.0f / 256), 1 + 3.0f / 256);
}

// 1 + 2^-8 + 2^-40 is above half way, but float32 (steps of 2^-23) makes 1 + 2^-8 of it, which goes to 1.
TEST(Rounder, TurnsWideResultsIntoFloat32First) {
  EXPECT_EQ(mergekit::Rounder(FloatType::kBF16)(1 + 0x1p-8 + 0x1p-40), 1);
}

TEST(MergekitNumerics, AreThereForEveryMethodOfTheTable) {
  for (const MethodInfo& method : MethodTable()) {
    Example example{.method = method.name, .inputs = {{1, 2, 3, 4}}, .shared = {{"t", 0.5}}};
    if (method.base != BaseRole::kNone) example.base = 0, example.inputs.push_back({2, 1, 4, 3});
    while (static_cast<int>(example.inputs.size()) < method.min_models + (example.base == 0))
      example.inputs.push_back({1, 3, 3, 5});
    example.of_model = {{{"weight", 0.5}}};
    for (const float value : Merged(example)) EXPECT_TRUE(std::isfinite(value)) << method.name;
  }
}

// (1*1 + 3*3) / 4 and (1*2 - 3*2) / 4.
TEST(MergekitLinear, IsTheWeightedMean) {
  Example example{
      .method = "linear", .inputs = {{1, 2}, {3, -2}}, .of_model = {{{"weight", 1}}, {{"weight", 3}}}};
  EXPECT_THAT(Merged(example), ElementsAre(2.5f, -1.0f));
  example.shared["normalize"] = 0;
  EXPECT_THAT(Merged(example), ElementsAre(10.0f, -4.0f));
}

// (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, whose last term a rounded product would lose.
TEST(MergekitLinear, FusesMultiplyAndAdd) {
  EXPECT_THAT(Merged({.method = "linear",
                      .inputs = {{-1}, {1 + 0x1p-12f}},
                      .shared = {{"normalize", 0}},
                      .of_model = {{{"weight", 1}}, {{"weight", 1 + 0x1p-12}}}}),
              ElementsAre(0x1p-11f + 0x1p-24f));
}

// 0.6 + 0.1 = 0.7 is 179.2 steps of 2^-8 in bfloat16; with 0.6 rounded to 154 of 2^-8 on the way, be it the
// weight or the sum so far, the result would be 179.6 and so 180 steps.
TEST(MergekitLinear, RoundsOnceIn16Bits) {
  EXPECT_THAT(Merged({.method = "linear",
                      .inputs = {{1}, {1}},
                      .shared = {{"normalize", 0}},
                      .of_model = {{{"weight", 0.6}}, {{"weight", 0.1}}},
                      .work_type = FloatType::kBF16,
                      .out_type = FloatType::kBF16}),
              ElementsAre(0.69921875f));
}

TEST(MergekitLinear, GivesInfinitiesWhereTheWeightsSumToZero) {
  const std::vector<float> merged = Merged(
      {.method = "linear", .inputs = {{1, 2}, {3, 2}}, .of_model = {{{"weight", 0.5}}, {{"weight", -0.5}}}});
  EXPECT_EQ(merged[0], -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(merged[1]));
}

TEST(MergekitPassthrough, ScalesTheOneModel) {
  EXPECT_THAT(Merged({.method = "passthrough", .inputs = {{2, -4}}, .of_model = {{{"scale", 0.25}}}}),
              ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(Merged({.method = "passthrough", .inputs = {{2, -4}}}), ElementsAre(2.0f, -4.0f));
}

// Orthogonal units at t = 1/2: both factors are sin 45 / sin 90 = 0.70711. At 120 degrees and t = 1/4 from
// the base (1, 0): sin 90 / sin 120 = 1.1547 and sin 30 / sin 120 = 0.57735 of (-1/2, 0.86603): (0.86603,
// 0.5), which is 30 degrees from it.
TEST(MergekitSlerp, TurnsTheBaseTowardsTheOther) {
  EXPECT_THAT(Merged({.method = "slerp", .inputs = {{1, 0}, {0, 1}}, .base = 0, .shared = {{"t", 0.5}}}),
              Near({0.70710678f, 0.70710678f}));
  EXPECT_THAT(
      Merged(
          {.method = "slerp", .inputs = {{-0.5f, 0.8660254f}, {1, 0}}, .base = 1, .shared = {{"t", 0.25}}}),
      Near({0.8660254f, 0.5f}));
}

// Parallel: 0.75 * 1 + 0.25 * 3; opposite: 0.75 * 1 - 0.25 * 1; (1, 0) and (1, 0.02): cos = 0.9998 > 0.9995,
// the arc would give 1.00004 for the first element.
TEST(MergekitSlerp, IsLinearForDirectionsThatAreNearlyTheSameOrOpposite) {
  const auto merged = [](std::vector<float> base, std::vector<float> other) {
    return Merged({.method = "slerp", .inputs = {base, other}, .base = 0, .shared = {{"t", 0.25}}});
  };
  EXPECT_THAT(merged({1, 1}, {3, 3}), ElementsAre(1.5f, 1.5f));
  EXPECT_THAT(merged({1, 1}, {-1, -1}), ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(merged({1, 0}, {1, 0.02f}), ElementsAre(1.0f, 0.005f));
}

// Zero is at a right angle to everything: sin(30) of the other at t = 1/3.
TEST(MergekitSlerp, TakesAZeroTensorForOrthogonal) {
  EXPECT_THAT(Merged({.method = "slerp", .inputs = {{0, 0}, {2, 0}}, .base = 0, .shared = {{"t", 1.0 / 3}}}),
              Near({1.0f, 0.0f}));
}

TEST(MergekitSlerp, SpreadsOneNanOverTheTensor) {
  const std::vector<float> merged = Merged(
      {.method = "slerp", .inputs = {{1, std::nanf(""), 3}, {3, 2, 1}}, .base = 0, .shared = {{"t", 0.5}}});
  EXPECT_THAT(merged, Each(::testing::IsNan()));
}

// a = [[1, 0], [1, 0]], b = [[0, 1], [1, 0]], t = 1/2.
// Whole: cos = 1/2, so 60 degrees: sin 30 / sin 60 = 0.57735 of the sum (1, 1, 2, 0).
// Rows: the first pair is at 90 degrees, 0.70711 of the sum; the second is the same vector.
// Columns ("row_wise"): (1, 1) and (0, 1) at 45 degrees, sin 22.5 / sin 45 = 0.541196 of the sum (1, 2); (0,
// 0) and (1, 0): a zero vector counts as at 90 degrees.
TEST(MergekitNuslerp, TakesOneAngleForTheWholeTheRowsOrTheColumns) {
  Example example{.method = "nuslerp",
                  .inputs = {{1, 0, 1, 0}, {0, 1, 1, 0}},
                  .of_model = {{{"weight", 1}}},
                  .shape = {2, 2}};
  EXPECT_THAT(Merged(example), Near({0.57735027f, 0.57735027f, 1.1547005f, 0}));
  example.shared["nuslerp_flatten"] = 0;
  EXPECT_THAT(Merged(example), Near({0.70710678f, 0.70710678f, 1, 0}));
  example.shared["nuslerp_row_wise"] = 1;
  EXPECT_THAT(Merged(example), Near({0.54119610f, 0.70710678f, 1.0823922f, 0}));
}

// t = 3 / (1 + 3); the changes (1, 0) and (0, 2) are orthogonal: sin 22.5 = 0.38268 and sin 67.5 = 0.92388.
// Weights that sum to zero: t = 1/2, so 0.70711 of both. 2.4e-7 is a quarter of a step of float32 at 10.
TEST(MergekitNuslerp, WorksOnChangesToABaseWithTheShareOfTheSecondWeight) {
  Example example{.method = "nuslerp",
                  .inputs = {{11, 10}, {10, 10}, {10, 12}},
                  .base = 1,
                  .of_model = {{{"weight", 1}}, {{"weight", 3}}}};
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(2e-6f), {10.3826834f, 11.8477591f}));
  example.of_model = {{{"weight", 1}}, {{"weight", -1}}};
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(2e-6f), {10.7071068f, 11.4142136f}));
}

// The units (1, 0) and (0, 1) with shares 1/4 and 3/4 sum to (1/4, 3/4), of length 0.790569; the mean length
// is 1/4 * 2 + 3/4 * 1 = 1.25: (1/4, 3/4) * 1.25 / 0.790569.
TEST(MergekitMultislerp, GivesTheMeanDirectionTheMeanLength) {
  Example example{
      .method = "multislerp", .inputs = {{2, 0}, {0, 1}}, .of_model = {{{"weight", 0.5}}, {{"weight", 1.5}}}};
  EXPECT_THAT(Merged(example), Near({0.39528471f, 1.1858541f}));
  example.shared["normalize_weights"] = 0;  // lengths of 2 * 0.5 + 1.5 = 2.5 in the same direction
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(5e-7f), {0.79056942f, 2.3717082f}));
}

TEST(MergekitMultislerp, ReturnsTheOnlyModelWhateverItsWeight) {
  EXPECT_THAT(Merged({.method = "multislerp",
                      .inputs = {{5, 5}, {1, 2}},
                      .base = 0,
                      .shared = {{"normalize_weights", 0}},
                      .of_model = {{{"weight", 0.3}}}}),
              ElementsAre(1.0f, 2.0f));
}

// (3, 4) and -(3, 4): without a direction two are averaged, three refused.
TEST(MergekitMultislerp, RefusesThreeModelsWhoseDirectionsCancelOut) {
  Example example{.method = "multislerp", .inputs = {{3, 4}, {-3, -4}}, .of_model = {{{"weight", 0.5}}}};
  EXPECT_THAT(Merged(example), ElementsAre(0.0f, 0.0f));
  example.inputs.push_back({0, 0});
  EXPECT_THROW(Merged(example), Error);
}

// Three lengths of 1, 2 and 3 along the axes: the middle direction (1, 1, 1) / sqrt 3 with length 2.
TEST(MergekitKarcher, GivesTheMiddleDirectionTheMeanLength) {
  EXPECT_THAT(Merged({.method = "karcher", .inputs = {{1, 0}, {0, 1}}}), Near({0.70710678f, 0.70710678f}));
  EXPECT_THAT(Merged({.method = "karcher", .inputs = {{1, 0, 0}, {0, 2, 0}, {0, 0, 3}}}),
              Pointwise(FloatNear(1e-6f), {1.1547005f, 1.1547005f, 1.1547005f}));
}

// Twice the first axis and once the second: the mean angle is 90 / 3 = 30 degrees (cos 0.86603, sin 0.5). The
// normalised sum, without steps, is (2, 1) / sqrt 5. The last step is below tol = 1e-5, so the mean is
// nearer.
TEST(MergekitKarcher, StepsToTheMeanOfTheAngles) {
  Example example{.method = "karcher", .inputs = {{1, 0}, {1, 0}, {0, 1}}};
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(1e-5f), {0.8660254f, 0.5f}));
  example.shared["max_iter"] = 0;
  EXPECT_THAT(Merged(example), Near({0.89442719f, 0.44721360f}));
}

// The zero leaves the direction as it is and the mean length at (1 + 1 + 0) / 3.
TEST(MergekitKarcher, CountsAZeroInTheLengthOnly) {
  EXPECT_THAT(Merged({.method = "karcher", .inputs = {{1, 0}, {0, 1}, {0, 0}}}),
              Near({0.47140452f, 0.47140452f}));
  EXPECT_THAT(Merged({.method = "karcher", .inputs = {{0, 0}, {0, 0}}}), ElementsAre(0.0f, 0.0f));
}

// Changes of lengths 2 and 2 at 60 degrees: c = 1/2, t = 2 c / (1 + c) = 2/3 of the mean (1.5, 0.86603).
TEST(MergekitModelStock, GoesToTheMeanByTheAngle) {
  EXPECT_THAT(Merged({.method = "model_stock", .inputs = {{0, 0}, {2, 0}, {1, 1.7320508f}}, .base = 0}),
              Near({1, 0.57735027f}));
}

// Rows: the first changes are equal, c = 1, t = 1; the second orthogonal, t = 0, the base.
// Whole: dot product 1, lengths sqrt 2, c = 1/2, t = 2/3 of the mean (1, 0, 1/2, 1/2).
TEST(MergekitModelStock, TakesOneAngleForTheWholeOrTheRows) {
  Example example{.method = "model_stock",
                  .inputs = {{0, 0, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1}},
                  .base = 0,
                  .shape = {2, 2}};
  EXPECT_THAT(Merged(example), Near({0.66666667f, 0, 0.33333333f, 0.33333333f}));
  example.shared["filter_wise"] = 1;
  EXPECT_THAT(Merged(example), Near({1, 0, 0, 0}));
}

// c = -1 makes 1 + c zero.
TEST(MergekitModelStock, ReturnsTheBaseForOppositeChanges) {
  EXPECT_THAT(Merged({.method = "model_stock", .inputs = {{1, 1}, {3, 1}, {-1, 1}}, .base = 0}),
              ElementsAre(1.0f, 1.0f));
}

// Changes (1, -1) and (0, 2) from (1, 1) with weights 0.5 and 0.25: (0.5, 0); times lambda 2.
// Normalised: 0.5 / 0.75 = 2/3.
TEST(MergekitTaskArithmetic, AddsTheWeightedChanges) {
  Example example{.method = "task_arithmetic",
                  .inputs = {{1, 1}, {2, 0}, {1, 3}},
                  .base = 0,
                  .shared = {{"lambda", 2}},
                  .of_model = {{{"weight", 0.5}}, {{"weight", 0.25}}}};
  EXPECT_THAT(Merged(example), ElementsAre(2.0f, 1.0f));
  example.shared = {{"normalize", 1}};
  EXPECT_THAT(Merged(example), Near({1.6666667f, 1}));
  example.of_model = {{{"weight", 0.5}}, {{"weight", -0.5}}};  // they sum to zero: not divided
  EXPECT_THAT(Merged(example), ElementsAre(1.5f, -0.5f));
}

// 1.0234375 * 0.9 = 0.92109: in bfloat16 236 steps of 2^-8. lambda rounded to 0.8984375 would give 235.
TEST(MergekitTaskArithmetic, RoundsEachOperationButNotLambda) {
  EXPECT_THAT(Merged({.method = "task_arithmetic",
                      .inputs = {{0}, {1.0234375f}},
                      .base = 0,
                      .shared = {{"lambda", 0.9}},
                      .of_model = {{{"weight", 1}}},
                      .work_type = FloatType::kBF16,
                      .out_type = FloatType::kBF16}),
              ElementsAre(0.921875f));
}

TEST(MergekitTaskArithmetic, ReturnsTheBaseAlone) {
  const std::vector<float> merged = Merged({.method = "ties", .inputs = {{1, -0.0f}}, .base = 0});
  EXPECT_THAT(merged, ElementsAre(1.0f, -0.0f));
  EXPECT_TRUE(std::signbit(merged[1]));
}

TEST(MergekitTaskArithmetic, KeepsANanInItsPlace) {
  EXPECT_THAT(Merged({.method = "ties",
                      .inputs = {{0, 0, 0}, {1, std::nanf(""), 2}, {1, 1, 1}},
                      .base = 0,
                      .of_model = {{{"weight", 1}}}}),
              ElementsAre(1.0f, ::testing::IsNan(), 1.5f));
}

// Half of (1, -2, 3, -4) is (0, 0, 3, -4), half of (5, 1, -1, 4) is (5, 0, 0, 4); with weights 1 and 1/2 the
// votes are (2.5, 0, 3, -2), so the second model's last change loses. Sums over the weights that agree: 2.5 /
// 0.5, nothing, 3 / 1, -4 / 1. Not normalised, lambda 2: twice the sums.
TEST(MergekitTies, TrimsElectsSignsAndAddsWhatAgrees) {
  Example example{.method = "ties",
                  .inputs = {{0, 0, 0, 0}, {1, -2, 3, -4}, {5, 1, -1, 4}},
                  .base = 0,
                  .of_model = {{{"weight", 1}, {"density", 0.5}}, {{"weight", 0.5}, {"density", 0.5}}}};
  EXPECT_THAT(Merged(example), ElementsAre(5.0f, 0.0f, 3.0f, -4.0f));
  example.shared = {{"normalize", 0}, {"lambda", 2}};
  EXPECT_THAT(Merged(example), ElementsAre(5.0f, 0.0f, 6.0f, -8.0f));
}

// 1 - 1 = 0 counts as positive. Weights 1 and -0.6 on 2 and -1: both weighted changes are positive, and
// (2 + 0.6) / (1 - 0.6) = 6.5.
TEST(MergekitTies, LetsWeightsVote) {
  Example example{.method = "ties", .inputs = {{0}, {1}, {-1}}, .base = 0, .of_model = {{{"weight", 1}}}};
  EXPECT_THAT(Merged(example), ElementsAre(1.0f));
  example.inputs = {{0}, {2}, {-1}};
  example.of_model = {{{"weight", 1}}, {{"weight", -0.6}}};
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(2e-6f), {6.5f}));
}

// select_topk 0.67: the variances are (1, 1, 0, 4), three vary, int(0.67 * 3) = 2 stay, of the equal ones the
// first. Left are (3, 0, 0, 0) and (1, 0, 0, 4): mean squares 9/4 and 17/4, shares 9/26 and 17/26. Element 0:
// (3 * 9 + 1 * 17) / 26; element 3: a change of 0 has no sign, so 4.
TEST(MergekitSce, SelectsCalculatesAndErases) {
  EXPECT_THAT(Merged({.method = "sce",
                      .inputs = {{0, 0, 0, 0}, {3, 1, 2, 0}, {1, -1, 2, 4}},
                      .base = 0,
                      .shared = {{"select_topk", 0.67}}}),
              Near({1.6923077f, 0, 0, 4}));
}

// All: mean squares (4 + 1) / 2 and (1 + 9) / 2, shares 1/3 and 2/3. Element 0: the votes 2 - 1 are positive,
// so the second is erased and 2 stays; element 1: (1 + 2 * 3) / 3.
TEST(MergekitSce, ErasesTheMinority) {
  EXPECT_THAT(Merged({.method = "sce", .inputs = {{0, 0}, {2, 1}, {-1, 3}}, .base = 0}),
              Near({2, 2.3333333f}));
}

TEST(MergekitSce, KeepsNothingOfOneModelUnlessAll) {
  Example example{.method = "sce", .inputs = {{1, 1}, {3, 1}}, .base = 0, .shared = {{"select_topk", 0.5}}};
  EXPECT_THAT(Merged(example), ElementsAre(1.0f, 1.0f));
  example.shared = {};
  EXPECT_THAT(Merged(example), ElementsAre(3.0f, 1.0f));
}

// Element 0 is changed by both: the mean of 1 and 3; 1 and 2 by one; 3 by none.
TEST(MergekitRam, AddsOwnChangesAndAveragesSharedOnes) {
  EXPECT_THAT(Merged({.method = "ram", .inputs = {{0, 0, 0, 0}, {1, 0, 2, 0}, {3, 4, 0, 0}}, .base = 0}),
              ElementsAre(2.0f, 4.0f, 2.0f, 0.0f));
}

// 0.30078125 is above 0.3, but not above what bfloat16 makes of 0.3.
TEST(MergekitRam, RoundsEpsilonToTheWorkType) {
  Example example{.method = "ram", .inputs = {{0}, {0.30078125f}}, .base = 0, .shared = {{"epsilon", 0.3}}};
  EXPECT_THAT(Merged(example), ElementsAre(0.30078125f));
  example.work_type = FloatType::kBF16;
  EXPECT_THAT(Merged(example), ElementsAre(0.0f));
}

// Model 1 shares one change and owns one, ratio 1; model 2 owns two, ratio 1/2: both count as alpha = 0.4, so
// own changes are multiplied by 1 + 0.5 * 0.4 = 1.2. With alpha 0.7 they are by 1.35 and 1.25. The work type
// is bfloat16, which has no 4.8.
TEST(MergekitRamPlus, StrengthensOwnChangesInFloat32) {
  Example example{.method = "ramplus_tl",
                  .inputs = {{0, 0, 0, 0}, {1, 0, 2, 0}, {3, 4, 0, 5}},
                  .base = 0,
                  .shared = {{"r", 0.5}, {"alpha", 0.4}},
                  .work_type = FloatType::kBF16};
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(1e-6f), {2.0f, 4.8f, 2.4f, 6.0f}));
  example.shared["alpha"] = 0.7;
  EXPECT_THAT(Merged(example), Pointwise(FloatNear(1e-6f), {2.0f, 5.0f, 2.7f, 6.25f}));
}

// Distances 0, 1/2 and 1/8 at t = 1/4: parts 1, 1/2 and 1 (2 cut off). t below 0 has part 0.
TEST(MergekitNearswap, TakesWhatIsNearAndPartOfTheRest) {
  Example example{
      .method = "nearswap", .inputs = {{1, 2, 3}, {1, 2.5f, 3.125f}}, .base = 0, .shared = {{"t", 0.25}}};
  EXPECT_THAT(Merged(example), ElementsAre(1.0f, 2.25f, 3.125f));
  example.shared["t"] = -0.25;
  EXPECT_THAT(Merged(example), ElementsAre(1.0f, 2.0f, 3.0f));
}

// 1 / 1.0703125 = 0.934307 is 0.93359375 in bfloat16, 0.3 times that 0.280078, so 0.279296875;
// times 1.0703125 it is 0.298935, 153.05 steps of 2^-9. Divided at once, 0.3 / 1.0703125 = 0.28125, and the
// result has 154 steps.
TEST(MergekitNearswap, DividesByTheReciprocal) {
  EXPECT_THAT(Merged({.method = "nearswap",
                      .inputs = {{0}, {1.0703125f}},
                      .base = 0,
                      .shared = {{"t", 0.3}},
                      .work_type = FloatType::kBF16,
                      .out_type = FloatType::kBF16}),
              ElementsAre(0.298828125f));
}

// One row, so the importances are the differences times one positive number: quartiles at places 1, 3 and 5
// of 1, 2, .., 7, 100 are 2, 4 and 6, the threshold 4 + 1.5 * 4 = 10. With 7, 8, .., 13, 14: 8, 10, 12
// and 16.
TEST(MergekitArceeFusion, TakesWhatIsFarAboveTheMedian) {
  Example example{
      .method = "arcee_fusion", .inputs = {{0, 0, 0, 0, 0, 0, 0, 0}, {1, 2, 3, 4, 5, 6, 7, 100}}, .base = 0};
  EXPECT_THAT(Merged(example), ElementsAre(0, 0, 0, 0, 0, 0, 0, 100));
  example.inputs[1] = {7, 8, 9, 10, 11, 12, 13, 14};
  EXPECT_THAT(Merged(example), Each(0.0f));
}

// The second row's softmax is that of the base, so its differences of 9 have no importance. Those of the
// first row have 0, k, 2 k and 4 k: the quartiles of all eight are 0, 0 and k, the threshold 1.5 k.
TEST(MergekitArceeFusion, WeighsEachRowByItsDivergence) {
  EXPECT_THAT(Merged({.method = "arcee_fusion",
                      .inputs = {{0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 2, 4, 9, 9, 9, 9}},
                      .base = 0,
                      .shape = {2, 4}}),
              ElementsAre(0, 0, 2, 4, 0, 0, 0, 0));
}

// bfloat16 in, float32 out: where the change counts the result is base + rounded change, in float32. The
// change of 257 - 1/256 is rounded to 256.
TEST(MergekitArceeFusion, AddsInFloat32) {
  EXPECT_THAT(Merged({.method = "arcee_fusion",
                      .inputs = {{0.00390625f, 0, 0, 0}, {256, 0, 0, 0}},
                      .base = 0,
                      .work_type = FloatType::kBF16}),
              ElementsAre(256.00390625f, 0, 0, 0));
}

TEST(MergekitNumerics, RoundsTheResultToTheTypeItIsStoredIn) {
  EXPECT_THAT(Merged({.method = "passthrough",
                      .inputs = {{1 + 3.0f / 256}},
                      .work_type = FloatType::kF32,
                      .out_type = FloatType::kBF16}),
              ElementsAre(1 + 4.0f / 256));
}

}  // namespace
}  // namespace forge::merge
