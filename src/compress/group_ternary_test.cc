// SPDX-License-Identifier: Apache-2.0
#include "compress/group_ternary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/float16.h"
#include "base/philox.h"

namespace forge::compress {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

double SquaredError(const std::vector<float>& w, const std::vector<float>& h, double alpha,
                    const std::vector<std::int8_t>& codes) {
  double error = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    error += (h.empty() ? 1.0 : double{h[i]}) * std::pow(w[i] - alpha * codes[i], 2);
  return error;
}

/// The least error over all 3^7 codes, each with its own least-squares scale.
double LeastError(const std::vector<float>& w, const std::vector<float>& h) {
  double least = std::numeric_limits<double>::infinity();
  for (int number = 0; number < 2187; ++number) {
    std::vector<std::int8_t> codes;
    for (int rest = number, i = 0; i < 7; ++i, rest /= 3)
      codes.push_back(static_cast<std::int8_t>(rest % 3 - 1));
    double product = 0, square = 0;
    for (std::size_t i = 0; i < 7; ++i) {
      product += (h.empty() ? 1.0 : double{h[i]}) * w[i] * codes[i];
      square += (h.empty() ? 1.0 : double{h[i]}) * codes[i] * codes[i];
    }
    least = std::min(least, SquaredError(w, h, square > 0 ? product / square : 0, codes));
  }
  return least;
}

std::vector<float> RandomVector(std::uint64_t index, bool positive = false) {
  Random random(5, positive ? "h" : "w", index);
  std::vector<float> values;
  for (int i = 0; i < 7; ++i)
    values.push_back(static_cast<float>(positive ? std::exp(random.Normal()) : random.Normal()));
  return values;
}

// alpha is rounded to 11 bits: it moves by at most 2^-11 of itself, which adds at most sum h (alpha 2^-11)^2
// to the minimum (the error is a parabola in alpha).
TEST(TernarizeGroup, EqualsTheBestOfAllCodesWeightedAndNot) {
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    const std::vector<float> w = RandomVector(trial);
    for (const std::vector<float>& h : {std::vector<float>{}, RandomVector(trial, true)}) {
      std::vector<std::int8_t> codes(7);
      const double alpha = TernarizeGroup(w, h, codes.data());
      double slack = 1e-12;
      for (std::size_t i = 0; i < 7; ++i)
        slack += (h.empty() ? 1.0 : double{h[i]}) * std::pow(alpha / 2048, 2);
      EXPECT_LE(SquaredError(w, h, alpha, codes), LeastError(w, h) + slack) << trial;
    }
  }
}

// By hand: the prefixes {3}, {3, 2}, {3, 2, 1} have S^2/k = 9, 12.5, 12: two are kept, alpha 2.5.
// With h = 1, 1, 10: 9, 12.5, (3 + 2 + 10)^2 / 12 = 18.75: all three, alpha 15/12 = 1.25.
/// The definition: the best of all prefixes of the sorted weights.
float BestScaleOfAllPrefixes(std::vector<std::pair<double, double>> magnitudes_and_h) {
  std::stable_sort(magnitudes_and_h.begin(), magnitudes_and_h.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  double product = 0, total = 0, best = 0, scale = 0;
  for (const auto& [magnitude, h] : magnitudes_and_h) {
    product += magnitude * h;
    total += h;
    if (product * product / total < best) continue;
    best = product * product / total;
    scale = product / total;
  }
  return RoundToHalf(static_cast<float>(scale));
}

// Groups of every shape: normal, heavy tails, a few large ones, nearly ternary (as training makes them).
TEST(TernarizeGroup, EqualsTheBestOfAllPrefixesOfLargeGroups) {
  for (std::uint64_t trial = 0; trial < 4000; ++trial) {
    Random random(9, "groups", trial);
    std::vector<float> w, h;
    std::vector<std::pair<double, double>> pairs;
    for (int i = 0; i < 64 << trial / 4 % 3; ++i) {
      const double normal = random.Normal(), other = random.Normal();
      const double value[] = {normal, normal * std::exp(2 * other), i % 20 == 0 ? 8 * normal : normal,
                              std::round(normal) + 0.1 * other};
      w.push_back(static_cast<float>(value[trial % 4]));
      h.push_back(static_cast<float>(std::exp(2 * random.Normal())));
      pairs.emplace_back(std::fabs(w.back()), h.back());
    }
    std::vector<std::int8_t> codes(w.size());
    EXPECT_EQ(TernarizeGroup(w, h, codes.data()), BestScaleOfAllPrefixes(pairs)) << trial;
    for (auto& [magnitude, weight] : pairs) weight = 1;
    const float scale = TernarizeGroup(w, {}, codes.data());
    EXPECT_EQ(scale, BestScaleOfAllPrefixes(pairs)) << trial;
  }
}

TEST(TernarizeGroup, FollowsTheExampleByHand) {
  const std::vector<float> w{-1, 3, -2}, h{10, 1, 1};
  std::vector<std::int8_t> codes(3);
  EXPECT_EQ(TernarizeGroup(w, {}, codes.data()), 2.5f);
  EXPECT_THAT(codes, ElementsAre(0, 1, -1));
  EXPECT_EQ(TernarizeGroup(w, h, codes.data()), 1.25f);
  EXPECT_THAT(codes, ElementsAre(-1, 1, -1));
}

TEST(TernarizeGroup, GivesZerosForZerosAndForValuesBelowBinary16) {
  std::vector<std::int8_t> codes(64, 1);
  EXPECT_EQ(TernarizeGroup(std::vector<float>(64, 0.0f), {}, codes.data()), 0);
  EXPECT_THAT(codes, Each(0));
  codes.assign(64, 1);
  EXPECT_EQ(TernarizeGroup(std::vector<float>(64, 1e-9f), {}, codes.data()), 0);
  EXPECT_THAT(codes, Each(0));
}

TEST(TernarizeGroup, TakesAllWeightsAsEqualWhenNoInputWasEverActive) {
  const std::vector<float> w{-1, 3, -2}, h{0, 0, 0};
  std::vector<std::int8_t> codes(3);
  EXPECT_EQ(TernarizeGroup(w, h, codes.data()), 2.5f);
  EXPECT_THAT(codes, ElementsAre(0, 1, -1));
}

TEST(TernarizeGroup, ClampsAScaleThatBinary16CannotHold) {
  std::vector<std::int8_t> codes(2);
  EXPECT_EQ(TernarizeGroup(std::vector<float>{1e6f, -1e6f}, {}, codes.data()), 65504);
  EXPECT_THAT(codes, ElementsAre(1, -1));
}

struct Matrix {
  std::vector<float> values, h;
};
Matrix RandomMatrix(int out, int in) {
  Random random(8, "group_ternary_test");
  Matrix matrix;
  for (int i = 0; i < out * in; ++i) matrix.values.push_back(static_cast<float>(random.Normal() * 0.02));
  for (int i = 0; i < in; ++i) matrix.h.push_back(i % 9 == 0 ? 0.0f : static_cast<float>(random.Uniform()));
  return matrix;
}

TEST(TernarizeTensor, HasScalesThatAreExactInBinary16) {
  const Matrix matrix = RandomMatrix(33, 256);
  for (const float scale : TernarizeTensor(matrix.values, 33, 256, 64, matrix.h).scales) {
    EXPECT_GT(scale, 0);
    EXPECT_EQ(scale, RoundToHalf(scale));
  }
}

TEST(TernarizeTensor, GivesTernaryValuesBackUnchanged) {
  const Matrix matrix = RandomMatrix(33, 256);
  for (const int group : {64, 256}) {
    const model::TernaryTensor once = TernarizeTensor(matrix.values, 33, 256, group, matrix.h);
    for (const std::vector<float>& h : {matrix.h, std::vector<float>{}}) {
      const model::TernaryTensor twice = TernarizeTensor(model::Dequantize(once).values, 33, 256, group, h);
      EXPECT_EQ(twice.codes, once.codes);
      EXPECT_EQ(twice.scales, once.scales);
    }
  }
}

TEST(TernarizeTensor, WeighsTheColumnsOfEveryGroupWithTheirOwnMoments) {
  const Matrix matrix = RandomMatrix(2, 128);
  const model::TernaryTensor tensor = TernarizeTensor(matrix.values, 2, 128, 64, matrix.h);
  std::vector<std::int8_t> codes(64);
  const float scale = TernarizeGroup(std::span(matrix.values).subspan(192, 64),
                                     std::span(matrix.h).subspan(64, 64), codes.data());
  EXPECT_EQ(tensor.scales[3], scale);
  EXPECT_TRUE(std::equal(codes.begin(), codes.end(), tensor.codes.begin() + 192));
}

TEST(TernarizeValues, EqualsTheDequantizedTensorToTheBit) {
  const Matrix matrix = RandomMatrix(100, 512);
  for (const std::vector<float>& h : {matrix.h, std::vector<float>{}}) {
    std::vector<float> quantized(matrix.values.size(), -7);
    TernarizeValues(matrix.values.data(), 100, 512, 64, h, quantized.data());
    EXPECT_EQ(quantized, model::Dequantize(TernarizeTensor(matrix.values, 100, 512, 64, h)).values);
  }
}

}  // namespace
}  // namespace forge::compress
