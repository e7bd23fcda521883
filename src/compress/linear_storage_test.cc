// SPDX-License-Identifier: Apache-2.0
#include "compress/linear_storage.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace forge::compress {
namespace {

std::vector<float> Decode(const EncodedLinear& linear, std::size_t size) {
  std::vector<float> values(size);
  io::DecodeBlocks(linear.type, linear.blocks, values);
  return values;
}

std::vector<float> Weights(std::size_t size) {
  Random random(3, "compress/testing/storage");
  std::vector<float> values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(static_cast<float>(0.03 * random.Normal()));
  for (std::size_t i = 64; i < 96; ++i) values[i] = 0;
  return values;
}

TEST(LinearStorage, BlocksHoldTheFittedLevels) {
  const std::vector<float> weights = Weights(3 * 512);
  int tried = 0;
  for (const Quantiser& quantiser : Quantisers()) {
    if (!quantiser.blocks) continue;
    const QuantisedLinear linear = QuantiseNearest({weights, 3, 512, {}}, quantiser, quantiser.blocks->group);
    const EncodedLinear encoded = EncodeLevels(linear, *quantiser.blocks);
    EXPECT_EQ(encoded.blocks.size(), 3 * io::RowBytes(quantiser.blocks->type, 512));
    EXPECT_EQ(Decode(encoded, weights.size()), linear.values) << quantiser.name;
    ++tried;
  }
  EXPECT_EQ(tried, 7);
}

TEST(LinearStorage, CoarseScalesAreRepeated) {
  const std::vector<float> weights = Weights(4 * 128);
  for (const std::int64_t group : {128, 0}) {
    const QuantisedLinear linear = QuantiseNearest({weights, 4, 128, {}}, FindQuantiser("weighted"), group);
    const model::TernaryTensor tensor = ToTernary(linear, 0, 64);
    EXPECT_EQ(tensor.group, 64);
    EXPECT_EQ(tensor.scales.size(), 8u);
    EXPECT_EQ(model::Dequantize(tensor).values, linear.values);
  }
}

TEST(LinearStorage, TernaryCodesAndScalesStandForTheValues) {
  const std::vector<float> weights = Weights(4 * 128);
  const QuantisedLinear linear = QuantiseNearest({weights, 4, 128, {}}, FindQuantiser("weighted"), 64);
  EXPECT_EQ(model::Dequantize(ToTernary(linear)).values, linear.values);
}

TEST(LinearStorage, OtherTypesRoundAsGgmlDoes) {
  const std::vector<float> weights = Weights(2 * 64);
  const std::vector<float> kept = Decode(Encode(io::BlockType::kQ8_0, weights, 64), weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(kept[i], weights[i], 0.001);
}

}  // namespace
}  // namespace forge::compress
