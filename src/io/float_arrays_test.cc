// SPDX-License-Identifier: Apache-2.0
#include "io/float_arrays.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "base/cpu_features.h"
#include "base/float16.h"

namespace forge::io {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class FloatArrays : public testing::TestWithParam<CpuTarget> {
 protected:
  FloatArrays() { SetTargetForTest(GetParam()); }
  ~FloatArrays() override { SetTargetForTest(SupportedTargets().back()); }
};
INSTANTIATE_TEST_SUITE_P(EveryTarget, FloatArrays, testing::ValuesIn(SupportedTargets()),
                         [](const auto& target) { return std::string(Name(target.param)); });

TEST_P(FloatArrays, WidensEveryPatternFromAnyAddress) {
  std::vector<std::byte> bytes(1 + 2 * 0x10000);
  for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern)
    std::memcpy(&bytes[1 + 2 * pattern], &pattern, 2);
  std::vector<float> out(0x10000);
  for (const FloatType type : {FloatType::kBF16, FloatType::kF16}) {
    WidenFloats(std::span(bytes).subspan(1), type, out);
    for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
      const auto half = static_cast<std::uint16_t>(pattern);
      const float expected = type == FloatType::kBF16 ? BFloat16ToFloat(half) : HalfToFloat(half);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(out[pattern]), std::bit_cast<std::uint32_t>(expected))
          << pattern;
    }
  }
}

TEST_P(FloatArrays, NarrowsAsOneByOne) {
  std::vector<float> values = {0.0f,    -0.0f,     1.0f,       1.00390625f, 1.01171875f,
                               3.4e38f, kInfinity, -kInfinity, kNan,        1e-40f};
  for (std::uint32_t i = 0; i < 5000; ++i) values.push_back(std::bit_cast<float>(i * 858'993u));
  std::vector<std::byte> bytes(1 + 2 * values.size());
  NarrowFloats(values, FloatType::kBF16, bytes.data() + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t stored;
    std::memcpy(&stored, &bytes[1 + 2 * i], 2);
    ASSERT_EQ(stored, FloatToBFloat16(values[i])) << values[i];
  }
}

TEST_P(FloatArrays, SeesOneWrongValueAnywhere) {
  for (const std::size_t size : {1, 15, 16, 100})
    for (std::size_t place = 0; place < size; ++place) {
      std::vector<float> values(size, -2.0f);
      EXPECT_TRUE(AllFinite(values));
      EXPECT_EQ(LargestMagnitude(values), 2.0f);
      for (const float wrong : {kInfinity, -kInfinity, kNan}) {
        values[place] = wrong;
        EXPECT_FALSE(AllFinite(values));
        EXPECT_FALSE(LargestMagnitude(values) <= 3e38f);
      }
    }
  EXPECT_TRUE(AllFinite({}));
}

TEST_P(FloatArrays, SeesOneWrongBFloat16Anywhere) {
  for (const std::size_t size : {1, 31, 32, 100})
    for (std::size_t place = 0; place < size; ++place)
      for (const float wrong : {kInfinity, -kInfinity, kNan}) {
        std::vector<float> values(size, -3e38f);
        std::vector<std::byte> bytes(2 * size + 1);  // at an odd address
        NarrowFloats(values, FloatType::kBF16, bytes.data() + 1);
        EXPECT_TRUE(AllFiniteBFloat16(std::span(bytes).subspan(1)));
        values[place] = wrong;
        NarrowFloats(values, FloatType::kBF16, bytes.data() + 1);
        EXPECT_FALSE(AllFiniteBFloat16(std::span(bytes).subspan(1))) << place << " of " << size;
      }
  EXPECT_TRUE(AllFiniteBFloat16({}));
}

}  // namespace
}  // namespace forge::io
