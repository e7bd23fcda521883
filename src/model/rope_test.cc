// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/testing_models.h"

namespace forge::model {
namespace {

using testing::TinyConfig;

ModelConfig Llama32() {
  ModelConfig config = TinyConfig("llama");
  config.head_dim = 64;
  config.rope_theta = 500000;
  config.rope_scaling = {.type = RopeScaling::Type::kLlama3,
                         .factor = 32,
                         .low_freq_factor = 1,
                         .high_freq_factor = 4,
                         .original_max_position_embeddings = 8192};
  return config;
}

// head_dim 4, theta 100: 100^0 = 1 and 100^-(2/4) = 0.1; linear by 4: 0.25 and 0.025.
TEST(RopeFrequencies, ArePowersOfTheBaseDividedByALinearFactor) {
  ModelConfig config = TinyConfig();
  config.head_dim = 4;
  config.rope_theta = 100;
  const std::vector<double> plain = RopeFrequencies(config);
  ASSERT_EQ(plain.size(), 2u);
  EXPECT_DOUBLE_EQ(plain[0], 1);
  EXPECT_DOUBLE_EQ(plain[1], 0.1);
  config.rope_scaling = {.type = RopeScaling::Type::kLinear, .factor = 4};
  EXPECT_DOUBLE_EQ(RopeFrequencies(config)[0], 0.25);
  EXPECT_DOUBLE_EQ(RopeFrequencies(config)[1], 0.025);
}

// inv_freq of LlamaRotaryEmbedding (transformers 5.23.0, torch float32) for Llama 3.2: head_dim 64, base
// 500000, factor 32. Float32 there: each of its 5 operations rounds to 2^-24, the power to a few more; 1e-6
// is above.
TEST(RopeFrequencies, AreThoseOfTransformersForLlama3) {
  const std::vector<double> expected = {1.0,
                                        0.663601279,
                                        0.440366626,
                                        0.292227834,
                                        0.193922758,
                                        0.128687382,
                                        0.0853971019,
                                        0.0566696189,
                                        0.0376060307,
                                        0.0249554086,
                                        0.0165604409,
                                        0.0109895291,
                                        0.00729266508,
                                        0.00483942125,
                                        0.00321144611,
                                        0.00129054801,
                                        0.000429556705,
                                        9.70828623e-05,
                                        1.94616387e-05,
                                        1.29147675e-05,
                                        8.57025589e-06,
                                        5.68723226e-06,
                                        3.77405445e-06,
                                        2.50446715e-06,
                                        1.66196742e-06,
                                        1.10288363e-06,
                                        7.31874934e-07,
                                        4.85673127e-07,
                                        3.22293289e-07,
                                        2.1387423e-07,
                                        1.41927202e-07,
                                        9.41830649e-08};
  const std::vector<double> found = RopeFrequencies(Llama32());
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i] / expected[i], 1, 1e-6) << i;
}

// By hand: base 10000 and head_dim 4 give 1 and 0.01 rad. In 1000 positions pair 1 turns 10 / 2 pi = 1.5915
// times: with low 1 and high 2 the share is 0.59155, so 0.01 (0.59155 + 0.40845 / 8) = 0.0064261.
TEST(RopeFrequencies, BlendBetweenTheLlama3Limits) {
  ModelConfig config = TinyConfig("llama");
  config.head_dim = 4;
  config.rope_theta = 10000;
  config.rope_scaling = {.type = RopeScaling::Type::kLlama3,
                         .factor = 8,
                         .low_freq_factor = 1,
                         .high_freq_factor = 2,
                         .original_max_position_embeddings = 1000};
  EXPECT_DOUBLE_EQ(RopeFrequencies(config)[0], 1);
  EXPECT_NEAR(RopeFrequencies(config)[1], 0.0064261, 1e-7);
  config.rope_scaling.low_freq_factor = 1.6;
  EXPECT_DOUBLE_EQ(RopeFrequencies(config)[1], 0.01 / 8);
}

TEST(Llama3ScalingOf, FindsTheFactorAndRefusesOtherDivisors) {
  const ModelConfig config = Llama32();
  std::vector<float> divisors;
  for (const double divisor : RopeDivisors(config)) divisors.push_back(static_cast<float>(divisor));
  EXPECT_EQ(Llama3ScalingOf(divisors, config), config.rope_scaling);
  divisors[16] *= 1.001f;
  EXPECT_EQ(Llama3ScalingOf(divisors, config), std::nullopt);
  EXPECT_EQ(Llama3ScalingOf(std::span(divisors).first(8), config), std::nullopt);
  EXPECT_EQ(Llama3ScalingOf({}, config), std::nullopt);
  divisors[16] = NAN;
  EXPECT_EQ(Llama3ScalingOf(divisors, config), std::nullopt);
}

}  // namespace
}  // namespace forge::model
