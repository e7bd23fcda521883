// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/magnitude_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "merge/exact/magnitude_threshold.h"

namespace forge::merge {
namespace {

std::vector<float> Normals(std::size_t size) {
  Random random(7, "magnitude_table_test");
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(0.002 * random.Normal());
  return values;
}

std::uint32_t CodeOfRank(std::vector<float> values, std::size_t k) {
  for (float& value : values) value = std::fabs(value);
  std::sort(values.begin(), values.end(), std::greater<>());
  return std::bit_cast<std::uint32_t>(values[k - 1]);
}

TEST(MagnitudeTable, HoldsEveryRankInAShortRange) {
  for (const std::size_t size : {1, 2, 3, 511, 512, 513, 514, 5000}) {
    std::vector<float> values = Normals(size);
    if (size > 2) values[1] = 0, values[2] = values[0];
    const MagnitudeTable table = MagnitudeTable::Of({{values.data()}}, size);
    for (std::size_t k = 1; k <= size; k += 1 + size / 100) {
      const CodeRange range = table.RangeOf(k);
      const std::uint32_t code = CodeOfRank(values, k);
      EXPECT_GE(code, range.low) << k << " of " << size;
      EXPECT_LT(code, range.high) << k << " of " << size;
    }
  }
  const std::vector<float> values = Normals(5000);
  const CodeRange middle = MagnitudeTable::Of({{values.data()}}, 5000).RangeOf(2500);
  EXPECT_LT(middle.high - middle.low, 1u << 18);  // an octave has 2^23 codes
}

TEST(MagnitudeTable, IsOfTheChangeAndNotOfTheModel) {
  const std::vector<float> model = {3, 5, 9}, base = {2, 5, 5};
  const MagnitudeTable table = MagnitudeTable::Of({{model.data()}, {base.data()}}, 3);
  EXPECT_GT(table.RangeOf(1).high, std::bit_cast<std::uint32_t>(4.0f));
  EXPECT_LE(table.RangeOf(1).high, std::bit_cast<std::uint32_t>(4.1f));
}

TEST(MagnitudeTable, LetsOnePassOverTheValuesFindAThreshold) {
  const std::vector<float> values = Normals(200'000);
  const MagnitudeTable table = MagnitudeTable::Of({{values.data()}}, values.size());
  for (const std::size_t k : {std::size_t{1}, std::size_t{60'000}, values.size()}) {
    MagnitudeThreshold threshold(values.size(), k, table.RangeOf(k));
    EXPECT_FALSE(threshold.is_sampling());
    threshold.Observe({{values.data()}}, values.size());
    threshold.EndPass();
    ASSERT_TRUE(threshold.done()) << k;
    EXPECT_EQ(threshold.code(), CodeOfRank(values, k));
  }
}

TEST(MagnitudeTable, RefusesBinsThatCannotBe) {
  std::vector<std::uint16_t> bins(MagnitudeTable::kRanks + 1, 100);
  EXPECT_NO_THROW(MagnitudeTable(5, bins));
  EXPECT_THROW(MagnitudeTable(0, bins), Error);
  bins.back() = 101;
  EXPECT_THROW(MagnitudeTable(5, bins), Error);
  bins.pop_back();
  EXPECT_THROW(MagnitudeTable(5, bins), Error);
}

}  // namespace
}  // namespace forge::merge
