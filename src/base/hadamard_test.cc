// SPDX-License-Identifier: Apache-2.0
#include "base/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

namespace forge {
namespace {

TEST(HadamardBlocks, MultipliesEachBlockWithTheMatrixOfItsDefinition) {
  constexpr std::size_t kSize = 64;
  std::vector<float> x;
  for (std::size_t i = 0; i < kSize; ++i) x.push_back(static_cast<float>(i * i % 23) - 11);
  for (const std::size_t block : {1u, 2u, 16u, 32u, 64u}) {
    std::vector<float> product = x;
    HadamardBlocks(product, block);
    for (std::size_t i = 0; i < kSize; ++i) {
      float expected = 0;  // whole numbers: exact
      for (std::size_t j = 0; j < block; ++j)
        expected += x[i / block * block + j] * (std::popcount(i % block & j) % 2 == 0 ? 1.0f : -1.0f);
      EXPECT_EQ(product[i], expected) << block << ", " << i;
    }
  }
}

}  // namespace
}  // namespace forge
