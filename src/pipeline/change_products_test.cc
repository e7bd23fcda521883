// SPDX-License-Identifier: Apache-2.0
#include "pipeline/change_products.h"

#include <gtest/gtest.h>

#include <cmath>

#include "merge/tensor_statistics.h"
#include "merge/testing_recipe_sources.h"
#include "model/testing_models.h"

namespace forge::pipeline {
namespace {

/// The base moved by `step` in every weight whose number in its tensor is a multiple of `every`.
model::ModelWeights Moved(model::ModelWeights weights, float step, std::size_t every) {
  for (auto& [name, tensor] : weights)
    for (std::size_t i = 0; i < tensor.values.size(); i += every) tensor.values[i] += step;
  return weights;
}

/// A base of zeros, so that steps are exact.
class ChangeProductsTest : public ::testing::Test {
 protected:
  ChangeProductsTest() {
    for (auto& [name, tensor] : base_) {
      std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
      num_weights_ += static_cast<double>(tensor.values.size());
    }
  }
  const model::ModelConfig config_ = model::testing::TinyConfig();
  model::ModelWeights base_ = model::testing::RandomWeights(config_);
  double num_weights_ = 0;
};

// Half of the weights by -2, all by 1: lengths 2 sqrt(n / 2) and sqrt(n), product -2 n / 2, cosine -1 /
// sqrt(2). All tensors have an even number of weights.
TEST_F(ChangeProductsTest, AnglesAreThoseWorkedByHand) {
  const model::ModelWeights half = Moved(base_, -2, 2), all = Moved(base_, 1, 1);
  const merge::testing::SourcesInMemory sources(config_, base_, {&half, &all, &base_});
  const ChangeAngles angles = MeasureChangeAngles(sources);
  EXPECT_NEAR(angles.lengths[0], std::sqrt(2 * num_weights_), 1e-9);
  EXPECT_NEAR(angles.lengths[1], std::sqrt(num_weights_), 1e-9);
  EXPECT_EQ(angles.lengths[2], 0);
  EXPECT_NEAR(angles.cosines[0][1], -std::sqrt(0.5), 1e-12);
  EXPECT_EQ(angles.cosines[1][0], angles.cosines[0][1]);
  EXPECT_NEAR(angles.cosines[1][1], 1, 1e-12);
  EXPECT_EQ(angles.cosines[1][2], 0);
  EXPECT_EQ(Describe({{1.5, 2}, {{1, 0.25}, {0.25, 1}}}), "lengths 1.5, 2; cosines 0.250");
}

/// Knows the products of every tensor.
class KnownProducts : public merge::TensorStatistics {
 public:
  const merge::MagnitudeTable& Magnitudes(std::size_t, const std::string&, const merge::Change&,
                                          std::size_t) override {
    throw std::logic_error("not asked for");
  }
  std::vector<double> ChangeProducts(const std::string&,
                                     const std::function<std::vector<double>()>&) override {
    return {4};
  }
};

TEST_F(ChangeProductsTest, WhatIsKnownIsNotReadAgain) {
  KnownProducts known;
  const merge::testing::SourcesInMemory in_memory(config_, base_, {&base_});
  merge::MergeSources sources = in_memory;
  sources.statistics = &known;
  EXPECT_NEAR(MeasureChangeAngles(sources).lengths[0],
              2 * std::sqrt(static_cast<double>(model::ListTensors(config_).size())), 1e-12);
}

}  // namespace
}  // namespace forge::pipeline
