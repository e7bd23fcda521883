// SPDX-License-Identifier: Apache-2.0
#include "compress/quantised_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/float16.h"
#include "base/philox.h"
#include "compress/input_gram.h"

namespace forge::compress {
namespace {

/// Correlated inputs: a few directions carry most of the power.
std::vector<float> Inputs(std::size_t count, std::size_t width, std::uint64_t seed) {
  Random mixing(99, "compress/testing/mixing"), random(seed, "compress/testing/inputs");
  std::vector<float> mixture(width * width), rows(count * width);
  for (std::size_t i = 0; i < mixture.size(); ++i)
    mixture[i] = static_cast<float>(mixing.Normal() / std::sqrt(1.0 + static_cast<double>(i / width)));
  std::vector<float> source(width);
  for (std::size_t r = 0; r < count; ++r) {
    for (float& value : source) value = static_cast<float>(random.Normal());
    for (std::size_t k = 0; k < width; ++k)
      for (std::size_t i = 0; i < width; ++i) rows[r * width + i] += source[k] * mixture[k * width + i];
  }
  return rows;
}
std::vector<float> Weights(std::size_t size) {
  Random random(5, "compress/testing/linear");
  std::vector<float> values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(static_cast<float>(0.03 * random.Normal()));
  return values;
}
std::vector<float> GramOf(const std::vector<float>& rows, std::size_t width) {
  InputGram gram(width);
  gram.Add(rows.data(), rows.size() / width);
  return gram.TakeMean();
}

constexpr std::int64_t kOut = 24, kIn = 192;

class QuantisedLinearTest : public ::testing::Test {
 protected:
  std::vector<float> weights_ = Weights(kOut * kIn);
  std::vector<float> gram_ = GramOf(Inputs(1500, kIn, 1), kIn), held_out_ = GramOf(Inputs(1500, kIn, 2), kIn);
  std::vector<float> h_;
  LinearToQuantise linear_;

  void SetUp() override {
    for (std::size_t i = 0; i < kIn; ++i) h_.push_back(gram_[i * kIn + i]);
    linear_ = {weights_, kOut, kIn, h_};
  }
  double Cost(const QuantisedLinear& quantised, const std::vector<float>& gram) const {
    return OutputError(ErrorsOf(linear_, quantised), kOut, gram);
  }
};

TEST(InputGram, IsTheMeanOfOuterProducts) {
  const std::size_t width = 37, count = 600;
  const std::vector<float> rows = Inputs(count, width, 3);
  InputGram gram(width);
  gram.Add(rows.data(), 100);
  gram.Add(rows.data() + 100 * width, count - 100);
  const std::vector<float> diagonal = gram.Diagonal(), h = gram.TakeMean();
  for (std::size_t i = 0; i < width; ++i)
    for (std::size_t j = 0; j < width; ++j) {
      double sum = 0;
      for (std::size_t r = 0; r < count; ++r) sum += double{rows[r * width + i]} * rows[r * width + j];
      EXPECT_NEAR(h[i * width + j], sum / count, 1e-4 * (1 + std::fabs(sum / count)));
    }
  EXPECT_NEAR(diagonal[5], h[5 * width + 5], 1e-5 * h[5 * width + 5]);
}

TEST(MultiplyDense, IsTheProduct) {
  const std::size_t rows = 70, depth = 300, columns = 45;
  const std::vector<float> x = Weights(rows * depth), b = Inputs(depth, columns, 4);
  std::vector<float> y(rows * columns, 2.0f);
  for (const bool accumulate : {false, true}) {
    MultiplyDense({.x = x.data(),
                   .rows = rows,
                   .x_stride = depth,
                   .b = b.data(),
                   .depth = depth,
                   .columns = columns,
                   .b_stride = columns,
                   .y = y.data(),
                   .y_stride = columns,
                   .accumulate = accumulate});
    double sum = 0;
    for (std::size_t k = 0; k < depth; ++k) sum += double{x[3 * depth + k]} * b[k * columns + 44];
    EXPECT_NEAR(y[3 * columns + 44], accumulate ? 2 * sum : sum, 1e-4);
  }
}

TEST(FactorGram, MultipliesBackToTheDampedGram) {
  const std::size_t n = 150;  // more than two blocks
  const std::vector<float> h = GramOf(Inputs(400, n, 6), n);
  const FeedbackFactor factor = FactorGram(h, n, 0.01);
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += h[i * n + i] / n;
  for (std::size_t i = 0; i < n; ++i) {
    EXPECT_GT(factor.d[i], 0);
    for (std::size_t j = 0; j <= i; ++j) {
      EXPECT_EQ(factor.u[i * n + j], 0);
      double sum = 0;
      for (std::size_t k = i; k < n; ++k)
        sum +=
            double{k == i ? 1.0f : factor.u[i * n + k]} * factor.d[k] * (k == j ? 1.0f : factor.u[j * n + k]);
      EXPECT_NEAR(sum, h[i * n + j] + (i == j ? 0.01 * mean : 0), 2e-4 * mean) << i << " " << j;
    }
  }
}

TEST(FactorGram, TakesInputsThatAreNeverUsed) {
  const std::size_t n = 70;
  std::vector<float> h = GramOf(Inputs(300, n, 6), n);
  for (std::size_t i = 0; i < n; ++i) h[i * n + 11] = h[11 * n + i] = 0;
  EXPECT_GT(FactorGram(h, n, 0.01).d[11], 0);
  EXPECT_GT(FactorGram(std::vector<float>(n * n), n, 0.01).d[0], 0);
}

TEST_F(QuantisedLinearTest, FeedbackOverWhiteInputsChangesNothing) {
  std::vector<float> white(kIn * kIn);
  for (std::size_t i = 0; i < kIn; ++i) white[i * kIn + i] = 1;
  const LinearToQuantise linear{weights_, kOut, kIn, {}};
  for (const char* name : {"weighted", "two-planes", "q4", "four"})
    for (const std::int64_t wanted : {64, 192}) {
      const Quantiser& quantiser = FindQuantiser(name);
      const std::int64_t group = quantiser.blocks ? quantiser.blocks->group : wanted;
      EXPECT_EQ(QuantiseWithFeedback(linear, quantiser, group, FactorGram(white, kIn, 0.01)).values,
                QuantiseNearest(linear, quantiser, group).values)
          << name;
    }
}

TEST(KQuantisedLinear, FeedbackLowersTheErrorOnOtherInputsAndKeepsTheLevels) {
  constexpr std::int64_t kRows = 8, kWidth = 512;
  const std::vector<float> weights = Weights(kRows * kWidth), gram = GramOf(Inputs(1500, kWidth, 1), kWidth),
                           held_out = GramOf(Inputs(1500, kWidth, 2), kWidth);
  std::vector<float> h;
  for (std::size_t i = 0; i < kWidth; ++i) h.push_back(gram[i * kWidth + i]);
  const LinearToQuantise linear{weights, kRows, kWidth, h};
  const FeedbackFactor factor = FactorGram(gram, kWidth, 0.01);
  double before = HUGE_VAL;
  for (const char* name : {"q2_k", "q3_k", "q4_k", "q5_k"}) {
    const Quantiser& quantiser = FindQuantiser(name);
    const std::int64_t group = quantiser.blocks->group;
    const QuantisedLinear nearest = QuantiseNearest(linear, quantiser, group);
    QuantisedLinear fed = QuantiseWithFeedback(linear, quantiser, group, factor);
    const double plain = OutputError(ErrorsOf(linear, nearest), kRows, held_out),
                 with = OutputError(ErrorsOf(linear, fed), kRows, held_out);
    EXPECT_LT(with, 0.8 * plain) << name;
    EXPECT_LT(with, 0.5 * before) << name;
    before = with;
    PolishCodes(linear, gram, 2, fed);
    for (std::size_t i = 0; i < fed.values.size(); ++i)
      ASSERT_EQ(fed.levels[i / static_cast<std::size_t>(group)].Round(fed.values[i]), fed.values[i]) << name;
  }
}

TEST_F(QuantisedLinearTest, FeedbackMatchesItsDefinition) {
  const FeedbackFactor factor = FactorGram(gram_, kIn, 0.01);
  const Quantiser& quantiser = FindQuantiser("weighted");
  const QuantisedLinear ours = QuantiseWithFeedback(linear_, quantiser, 64, factor);
  // Column by column in double, with the levels that were chosen.
  int differing = 0;
  for (std::size_t row = 0; row < kOut; ++row)
    for (std::size_t k = 0; k < kIn; ++k) {
      double v = weights_[row * kIn + k];
      for (std::size_t j = 0; j < k; ++j)
        v += (double{weights_[row * kIn + j]} - ours.values[row * kIn + j]) * factor.u[j * kIn + k];
      const GroupLevels& levels = ours.LevelsOf(static_cast<std::int64_t>(row), static_cast<std::int64_t>(k));
      differing += levels.Round(static_cast<float>(v)) != ours.values[row * kIn + k];
    }
  EXPECT_LE(differing, 3);  // values within rounding of a threshold
}

TEST_F(QuantisedLinearTest, FeedbackAndPolishLowerTheErrorOnOtherInputsToo) {
  const FeedbackFactor factor = FactorGram(gram_, kIn, 0.01);
  for (const char* name : {"weighted", "two-planes", "four", "q4"}) {
    const Quantiser& quantiser = FindQuantiser(name);
    const std::int64_t group = quantiser.blocks ? quantiser.blocks->group : 64;
    const QuantisedLinear nearest = QuantiseNearest(linear_, quantiser, group);
    QuantisedLinear fed = QuantiseWithFeedback(linear_, quantiser, group, factor);
    EXPECT_LT(Cost(fed, gram_), 0.75 * Cost(nearest, gram_)) << name;
    EXPECT_LT(Cost(fed, held_out_), 0.8 * Cost(nearest, held_out_)) << name;
    const double before = Cost(fed, gram_);
    PolishCodes(linear_, gram_, 3, fed);
    EXPECT_LT(Cost(fed, gram_), before) << name;
    for (std::size_t i = 0; i < fed.values.size(); ++i) {  // still levels of their groups
      const GroupLevels& levels = fed.levels[i / static_cast<std::size_t>(group)];
      EXPECT_EQ(levels.Round(fed.values[i]), fed.values[i]);
    }
  }
}

TEST_F(QuantisedLinearTest, PolishFindsTheOptimumOfOneGroup) {  // brute force over 3^7 codes and their scales
  const std::size_t n = 7;
  const std::vector<float> gram = GramOf(Inputs(200, n, 8), n);
  double ours = 0, best = 0;
  for (std::uint64_t trial = 0; trial < 20; ++trial) {
    const std::vector<float> all = Weights(20 * n),
                             w(all.begin() + static_cast<std::ptrdiff_t>(trial * n),
                               all.begin() + static_cast<std::ptrdiff_t>((trial + 1) * n));
    std::vector<float> h;
    for (std::size_t i = 0; i < n; ++i) h.push_back(gram[i * n + i]);
    const LinearToQuantise linear{w, 1, static_cast<std::int64_t>(n), h};
    double least = HUGE_VAL;
    for (int code = 0; code < 2187; ++code) {
      std::vector<double> t;
      for (int rest = code, i = 0; i < 7; ++i, rest /= 3) t.push_back(rest % 3 - 1);
      double wt = 0, tt = 0, ww = 0;
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          wt += w[i] * gram[i * n + j] * t[j];
          tt += t[i] * gram[i * n + j] * t[j];
          ww += double{w[i]} * gram[i * n + j] * w[j];
        }
      least = std::min(least, tt > 0 ? ww - wt * wt / tt : ww);
    }
    QuantisedLinear fed = QuantiseWithFeedback(linear, FindQuantiser("weighted"),
                                               static_cast<std::int64_t>(n), FactorGram(gram, n, 0.01));
    PolishCodes(linear, gram, 10, fed);
    const double cost = OutputError(ErrorsOf(linear, fed), 1, gram);
    EXPECT_GE(cost, least * (1 - 1e-3));
    ours += cost;
    best += least;
  }
  EXPECT_LT(ours, 2.5 * best);  // coordinate descent ends in local optima
}

TEST_F(QuantisedLinearTest, OneGroupForTheTensorHasOneScale) {
  const QuantisedLinear tensor = QuantiseNearest(linear_, FindQuantiser("absmean"), 0);
  double mean = 0;
  for (const float weight : weights_) mean += std::fabs(weight) / static_cast<double>(weights_.size());
  for (const GroupLevels& levels : tensor.levels)
    EXPECT_EQ(levels.level[2], RoundToHalf(static_cast<float>(mean)));
}

}  // namespace
}  // namespace forge::compress
