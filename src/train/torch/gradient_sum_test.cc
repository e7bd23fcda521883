// SPDX-License-Identifier: Apache-2.0
#include "train/torch/gradient_sum.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace forge::train {
namespace {

// In float32 (1e8 + 1) - 1e8 is 0 and (1e8 - 1e8) + 1 is 1: the order shows. Started last to first.
TEST(GradientSum, AddsInTheOrderOfTheMicroBatchesWhicheverIsFirst) {
  GradientSum sum(1);
  const std::vector<float> parts{1e8f, 1.0f, -1e8f};
  std::vector<std::thread> threads;
  for (std::size_t micro = parts.size(); micro-- > 0;)
    threads.emplace_back([&, micro] { sum.Add(0, micro, at::full({1}, parts[micro])); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.sums()[0].item<float>(), 0.0f);
}

TEST(GradientSum, ThoseThatWaitGetTheErrorOfTheOneThatFailed) {
  GradientSum sum(1);
  sum.Abandon(std::make_exception_ptr(std::runtime_error("the first")));
  sum.Abandon(std::make_exception_ptr(std::runtime_error("the second")));
  try {
    sum.Add(0, 1, at::ones({1}));
    FAIL() << "it did not throw";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "the first");
  }
  sum.Clear();
  EXPECT_NO_THROW(sum.Add(0, 0, at::ones({1})));
}

}  // namespace
}  // namespace forge::train
