// SPDX-License-Identifier: Apache-2.0
#include "compress/group_levels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/float16.h"
#include "base/philox.h"

namespace forge::compress {
namespace {

std::vector<float> Draw(std::size_t size, std::uint64_t seed, double scale = 0.02) {
  Random random(seed, "compress/testing/levels");
  std::vector<float> values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(static_cast<float>(scale * random.Normal()));
  return values;
}
std::vector<float> DrawH(std::size_t size, std::uint64_t seed) {
  std::vector<float> values = Draw(size, seed, 1);
  for (float& value : values) value = std::exp(2 * value);
  return values;
}

double Error2(const GroupLevels& levels, const std::vector<float>& weights, const std::vector<float>& h) {
  double error = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    error += (h.empty() ? 1.0 : h[i]) * std::pow(double{weights[i]} - double{levels.Round(weights[i])}, 2);
  return error;
}

/// Least weighted error over all codes in {-1, 0, 1}^n, each with its best scale.
double BruteForce(const std::vector<float>& w, const std::vector<float>& h, bool with_offset) {
  double least = HUGE_VAL;
  int codes = 1;
  for (std::size_t i = 0; i < w.size(); ++i) codes *= 3;
  for (int code = 0; code < codes; ++code) {
    double total = 0, mean = 0, t1 = 0, wt = 0, tt = 0, ww = 0;
    int rest = code;
    for (std::size_t i = 0; i < w.size(); ++i, rest /= 3) {
      const double t = rest % 3 - 1, weight = h[i];
      total += weight;
      mean += weight * w[i];
      t1 += weight * t;
      wt += weight * w[i] * t;
      tt += weight * t * t;
      ww += weight * w[i] * w[i];
    }
    if (with_offset) {
      ww -= mean * mean / total;
      wt -= mean * t1 / total;
      tt -= t1 * t1 / total;
    }
    least = std::min(least, tt > 1e-12 ? ww - wt * wt / tt : ww);
  }
  return least;
}

TEST(Quantisers, WeightedIsTheBestOfAllCodes) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const std::vector<float> w = Draw(7, seed), h = DrawH(7, seed + 1000);
    const double best = BruteForce(w, h, false), ours = Error2(FindQuantiser("weighted").fit(w, h), w, h);
    double power = 0, plain_power = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      power += double{h[i]} * w[i] * w[i];
      plain_power += double{w[i]} * w[i];
    }
    const double rounding = 2.4e-7;  // of a scale to binary16, squared
    EXPECT_GE(ours, best - 1e-6 * power);
    EXPECT_LE(ours, best + rounding * power) << seed;
    const std::vector<float> ones(7, 1.0f);
    EXPECT_LE(Error2(FindQuantiser("optimum").fit(w, h), w, ones),
              BruteForce(w, ones, false) + rounding * plain_power)
        << seed;
    // Alternating fits end in a local optimum, which is not above where they started.
    EXPECT_GE(Error2(FindQuantiser("asymmetric").fit(w, h), w, h), BruteForce(w, h, true) - 1e-6 * power)
        << seed;
  }
}

TEST(Quantisers, AreOrderedAsTheirDefinitionsSay) {
  std::map<std::string, double> error;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<float> w = Draw(128, seed), h = DrawH(128, seed + 500);
    double power = 0;
    for (std::size_t i = 0; i < w.size(); ++i) power += h[i] * w[i] * w[i];
    for (const Quantiser& quantiser : Quantisers())
      if (quantiser.fit != nullptr)
        error[std::string(quantiser.name)] += Error2(quantiser.fit(w, h), w, h) / power / 40;
  }
  EXPECT_GT(error["seed"], error["absmean"]);
  EXPECT_GT(error["absmean"], error["optimum"]);
  EXPECT_GE(error["twn"], error["weighted"]);
  EXPECT_GT(error["optimum"], error["weighted"]);
  EXPECT_GE(error["seq"] * (1 + 1e-9), error["weighted"]);
  EXPECT_GT(error["weighted"], error["asymmetric"]);
  EXPECT_GT(error["asymmetric"], 2 * error["two-planes"]);
  EXPECT_GT(error["two-planes"], error["q4"]);
  EXPECT_GT(error["weighted"], 1.2 * error["four"]);
  EXPECT_GT(error["four"], error["q4"]);
  EXPECT_GT(error["q4"], 3 * error["q5"]);
}

TEST(Quantisers, FourIsNearTheBestOfAllSteps) {
  double fitted = 0, best = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> w = Draw(64, seed), h = DrawH(64, seed + 1000);
    fitted += Error2(FindQuantiser("four").fit(w, h), w, h);
    double least = HUGE_VAL;
    for (int k = -2000; k <= 2000; ++k) {
      const float d = RoundToHalf(0.00005f * static_cast<float>(k));
      std::vector<float> levels{-d, 0, d, 2 * d};
      std::sort(levels.begin(), levels.end());
      least = std::min(least, Error2(NearestLevels(levels), w, h));
    }
    best += least;
  }
  EXPECT_LT(fitted, 1.02 * best);
  EXPECT_GE(fitted, 0.999 * best);
}

TEST(GroupLevels, FindTheSameLevelFromAnyFirstGuess) {
  const float dense_below[] = {-5, -1, -0.9f, 0, 3, 100}, dense_above[] = {-100, -3, 0, 0.9f, 1, 5};
  for (const std::span<const float> uneven : {std::span(dense_below), std::span(dense_above)}) {
    const GroupLevels levels = NearestLevels(uneven);
    for (float value = -120; value < 120; value += 0.01f) {
      std::size_t index = 0;
      while (index + 1 < levels.count && value >= levels.threshold[index]) ++index;
      ASSERT_EQ(levels.IndexOf(value), index) << value;
    }
    EXPECT_EQ(levels.IndexOf(-1e38f), 0u);
    EXPECT_EQ(levels.IndexOf(1e38f), 5u);
  }
}

TEST(Quantisers, GiveTheKnownErrorsOfAGaussian) {  // bitnet-ternary.md, appendix B
  const std::vector<float> w = Draw(100000, 3), none;
  double power = 0;
  for (const float weight : w) power += double{weight} * weight;
  const auto relative = [&](const char* name) {
    return Error2(FindQuantiser(name).fit(w, none), w, none) / power;
  };
  EXPECT_NEAR(relative("seed"), 0.3245, 0.005);
  EXPECT_NEAR(relative("absmean"), 0.263, 0.005);
  EXPECT_NEAR(relative("twn"), 0.190, 0.003);
  EXPECT_NEAR(relative("optimum"), 0.190, 0.003);
}

TEST(Quantisers, LongGroupsAreSolvedLikeShortOnes) {
  const std::vector<float> w = Draw(1024, 8), h = DrawH(1024, 9);
  std::vector<float> longer = w, longer_h = h;
  longer.push_back(0);  // a weight that changes nothing, beyond what fits the other way
  longer_h.push_back(0);
  for (const char* name : {"weighted", "optimum", "two-planes"})
    EXPECT_EQ(FindQuantiser(name).fit(w, h).level, FindQuantiser(name).fit(longer, longer_h).level) << name;
}

TEST(Quantisers, ScalesAreBinary16AndZerosStayZeros) {
  const std::vector<float> w = Draw(64, 5), h = DrawH(64, 6), zeros(64);
  for (const Quantiser& quantiser : Quantisers()) {
    if (quantiser.fit == nullptr) continue;
    const GroupLevels levels = quantiser.fit(w, h);
    if (quantiser.planes == 1) {
      const float scale = levels.level[2] - levels.level[1];
      EXPECT_NEAR(RoundToHalf(scale), scale, 1e-6 * scale) << quantiser.name;
    }
    for (std::size_t k = 0; k + 1 < levels.count; ++k) EXPECT_LE(levels.level[k], levels.level[k + 1]);
    EXPECT_NEAR(quantiser.fit(zeros, h).Round(0), 0, 1e-4) << quantiser.name;
    EXPECT_NEAR(quantiser.fit(zeros, zeros).Round(0), 0, 1e-4) << quantiser.name;
  }
}

TEST(Quantisers, RoundToTernaryKeepsTernaryValues) {
  std::vector<float> w;
  for (int i = 0; i < 64; ++i) w.push_back(static_cast<float>((i * i + i / 5) % 3 - 1) * 0.03125f);
  for (const char* name : {"twn", "seq", "optimum", "weighted", "asymmetric", "two-planes"}) {
    const GroupLevels levels = FindQuantiser(name).fit(w, {});
    for (const float weight : w) EXPECT_EQ(levels.Round(weight), weight) << name;
  }
}

TEST(Quantisers, AnUnknownNameGetsTheNearest) {
  try {
    FindQuantiser("absmeen");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("did you mean absmean"));
  }
}

TEST(GroupLevels, ThresholdsAreHalfWay) {
  const float values[] = {-1, 0, 0.5f};
  const GroupLevels levels = NearestLevels(values);
  EXPECT_EQ(levels.Round(-0.51f), -1);
  EXPECT_EQ(levels.Round(-0.49f), 0);
  EXPECT_EQ(levels.Round(0.2f), 0);
  EXPECT_EQ(levels.Round(0.25f), 0.5f);
  EXPECT_EQ(levels.IndexOf(-9), 0u);
  EXPECT_EQ(levels.IndexOf(9), 2u);
}

}  // namespace
}  // namespace forge::compress
