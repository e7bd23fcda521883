// SPDX-License-Identifier: Apache-2.0
#include "train/torch/matrix_product.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace forge::train {
namespace {

TEST(TimesTransposed, EqualsTheProductForTransposedViewsAndBothTypes) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor a = at::randn({5, 33}).to(type), b = at::randn({7, 33}).to(type);
    // 33 products of size 1: float32 rounds each to 6e-8; bfloat16 rounds the sum of size 6 to 2^-8 of it.
    const double limit = type == at::kFloat ? 2e-5 : 0.1;
    const at::Tensor expected = at::mm(a.to(at::kDouble), b.to(at::kDouble).t());
    const auto difference = [&](const at::Tensor& c) {
      return (c.to(at::kDouble) - expected).abs().max().item<double>();
    };
    EXPECT_LT(difference(TimesTransposed(a, b)), limit);
    EXPECT_LT(difference(TimesTransposed(a.t().contiguous().t(), b.t().contiguous().t())), limit);
  }
}

}  // namespace
}  // namespace forge::train
