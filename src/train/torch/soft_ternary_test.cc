// SPDX-License-Identifier: Apache-2.0
#include "train/torch/soft_ternary.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"
#include "train/torch/testing_tune_pass.h"

namespace forge::train {
namespace {

using testing::kCpu;

constexpr int kGroup = 8;

/// Random codes and binary16 scales, one of which is 0.
model::TernaryTensor Start() {
  Random random(3, "train/testing/soft");
  model::TernaryTensor start{.shape = {3, 16}, .codes = {}, .scales = {}, .group = kGroup};
  for (int i = 0; i < 48; ++i) start.codes.push_back(static_cast<std::int8_t>(random.Below(3)) - 1);
  start.scales = {0.25f, 0.125f, 0.0625f, 0, 1.5f, 0.0999755859375f};
  for (int i = 24; i < 32; ++i) start.codes[static_cast<std::size_t>(i)] = 0;
  return start;
}

/// Weights about the values of the codes, some of them far away.
model::Tensor Weights() {
  Random random(4, "train/testing/soft");
  model::Tensor weights = model::Dequantize(Start());
  for (float& value : weights.values) value += static_cast<float>(0.1 * random.Normal());
  weights.values[24] = 2;  // in the group whose scale is 0
  return weights;
}

std::vector<float> ToVector(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  return {dense.const_data_ptr<float>(), dense.const_data_ptr<float>() + dense.numel()};
}

// Each weight at the level that is nearest to it, as if rounded.
TEST(SoftTernary, HardIsEachWeightAtItsNearestLevel) {
  const SoftTernary linear(Weights(), Start().scales, kGroup, kCpu);
  const model::TernaryTensor result = linear.Harden();
  const std::vector<float> values = ToVector(linear.Values(std::nullopt)),
                           same = model::Dequantize(result).values;
  EXPECT_EQ(result.shape, Start().shape);
  EXPECT_EQ(result.group, kGroup);
  EXPECT_EQ(result.scales, Start().scales);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = Start().scales[i / kGroup], weight = Weights().values[i];
    const int code = std::fabs(weight) <= scale / 2 || scale == 0 ? 0 : weight < 0 ? -1 : 1;
    EXPECT_EQ(result.codes[i], code) << i;
    EXPECT_NEAR(values[i], same[i], 1e-6) << i;
  }
}

// By the formula of layer_job.h, in double.
TEST(SoftTernary, IsTheSumOfTwoSoftSteps) {
  const SoftTernary linear(Weights(), Start().scales, kGroup, kCpu);
  const std::vector<AdamW::Group> groups = linear.Groups("w");
  const std::vector<float> u = ToVector(groups[0].parameter);
  for (const double slope : {0.5, 3.0, 30.0}) {
    const std::vector<float> values = ToVector(linear.Values(slope));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = double{u[i]};
      const double step =
          (std::tanh(slope * (x - 0.5)) + std::tanh(slope * (x + 0.5))) / (2 * std::tanh(slope));
      EXPECT_NEAR(values[i], step * double{Start().scales[i / kGroup]}, 2e-6) << slope << " " << i;
    }
  }
}

TEST(SoftTernary, GradientsAreThoseOfDifferences) {
  const SoftTernary linear(Weights(), Start().scales, kGroup, kCpu);
  const at::Tensor gradient = at::linspace(-1, 1, 48).view({3, 16});
  for (const double slope : {1.0, 4.0}) {
    const auto value = [&] { return (linear.Values(slope) * gradient).sum(at::kDouble).item<double>(); };
    const std::vector<at::Tensor> gradients = linear.Backward(gradient, slope);
    const std::vector<AdamW::Group> groups = linear.Groups("w");
    ASSERT_EQ(gradients.size(), groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      float* parameter = groups[g].parameter.mutable_data_ptr<float>();
      const std::vector<float> slopes = ToVector(gradients[g]);
      ASSERT_EQ(gradients[g].sizes(), groups[g].parameter.sizes());
      for (std::size_t i = 0; i < slopes.size(); ++i) {
        const float old = parameter[i], step = 1e-2f;
        parameter[i] = old + step;
        const double above = value();
        parameter[i] = old - step;
        const double below = value();
        parameter[i] = old;
        EXPECT_NEAR(static_cast<double>(slopes[i]), (above - below) / (2 * double{step}), 3e-3)
            << groups[g].name << " " << i << " at " << slope;
      }
    }
  }
}

TEST(SoftTernary, HardTheGradientOfTheScaleIsExactAndThatOfAWeightGoesStraightThrough) {
  const SoftTernary linear(Weights(), Start().scales, kGroup, kCpu);
  const std::vector<float> u = ToVector(linear.Groups("w")[0].parameter);
  bool has_far = false;
  const at::Tensor gradient = at::linspace(-1, 1, 48).view({3, 16});
  const std::vector<at::Tensor> gradients = linear.Backward(gradient, std::nullopt);
  EXPECT_FALSE(gradients[2].defined() || gradients[3].defined());
  const std::vector<float> d = ToVector(gradient), values = ToVector(linear.Values(std::nullopt)),
                           d_u = ToVector(gradients[0]), d_log_scale = ToVector(gradients[1]);
  for (std::size_t group = 0; group < 6; ++group) {
    double sum = 0;
    for (std::size_t i = group * kGroup; i < (group + 1) * kGroup; ++i) {
      sum += double{d[i]} * double{values[i]};
      const bool is_far = std::fabs(u[i]) >= 1.5f;
      EXPECT_NEAR(d_u[i], is_far ? 0 : d[i] * Start().scales[group], 1e-6) << i;
      has_far |= is_far;
    }
    EXPECT_NEAR(d_log_scale[group], sum, 1e-6);
  }
  EXPECT_TRUE(has_far);
}

}  // namespace
}  // namespace forge::train
