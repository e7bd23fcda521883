// SPDX-License-Identifier: Apache-2.0
#include "compress/lambda_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "compress/group_ternary.h"

namespace forge::compress {
namespace {

TEST(LambdaSchedule, EachRisesFromNothingToAllAtItsFraction) {
  for (const char* name : {"linear", "cosine", "exp", "sigmoid", "step"}) {
    const LambdaSchedule schedule{LambdaShape(name), 0.4};
    EXPECT_EQ(Lambda(0, 100, schedule), 0) << name;
    EXPECT_EQ(Lambda(40, 100, schedule), 1) << name;
    EXPECT_EQ(Lambda(99, 100, schedule), 1) << name;
    for (int step = 1; step < 100; ++step) {
      EXPECT_GE(Lambda(step, 100, schedule), Lambda(step - 1, 100, schedule)) << name;
      EXPECT_LE(Lambda(step, 100, schedule), 1) << name;
    }
  }
}

TEST(LambdaSchedule, HasTheShapeOfItsName) {
  const auto at_quarter = [](const char* name) { return Lambda(10, 100, {LambdaShape(name), 0.4}); };
  EXPECT_DOUBLE_EQ(at_quarter("linear"), 0.25);
  EXPECT_DOUBLE_EQ(at_quarter("cosine"), (1 - std::sqrt(0.5)) / 2);
  EXPECT_DOUBLE_EQ(at_quarter("exp"), 1 - std::pow(0.75, 6));
  EXPECT_LT(at_quarter("sigmoid"), 0.03);
  EXPECT_DOUBLE_EQ(Lambda(20, 100, {LambdaShape("sigmoid"), 0.4}), 0.5);
  EXPECT_DOUBLE_EQ(Lambda(19, 100, {LambdaShape("step"), 0.4}), 0.25);
  EXPECT_EQ(Lambda(0, 100, {LambdaShape("none"), 0.4}), 1);
  EXPECT_EQ(Lambda(0, 100, {LambdaShape("linear"), 0}), 1);
  EXPECT_THROW(LambdaShape("cubic"), Error);
}

/// The seed's code multiplied a layer's outputs by 50 on the way, because its scale began at 1.
TEST(LambdaSchedule, OutputsKeepTheirSizeOnTheWay) {
  constexpr std::int64_t kOut = 64, kIn = 256;
  Random random(1, "compress/testing/lambda");
  std::vector<float> weights(kOut * kIn), quantised(kOut * kIn), x(kIn);
  for (float& weight : weights) weight = static_cast<float>(0.02 * random.Normal());
  for (float& value : x) value = static_cast<float>(random.Normal());
  TernarizeValues(weights.data(), kOut, kIn, 64, {}, quantised.data());
  const auto rms = [&](double lambda) {
    double sum = 0;
    for (std::size_t o = 0; o < kOut; ++o) {
      double y = 0;
      for (std::size_t i = 0; i < kIn; ++i) {
        const double w = weights[o * kIn + i], q = quantised[o * kIn + i];
        y += (w + lambda * (q - w)) * x[i];
      }
      sum += y * y;
    }
    return std::sqrt(sum / kOut);
  };
  for (int step = 0; step <= 40; ++step) {
    const double ratio = rms(Lambda(step, 100, {})) / rms(0);
    EXPECT_LT(ratio, 2) << step;
    EXPECT_GT(ratio, 0.5) << step;
  }
}

}  // namespace
}  // namespace forge::compress
