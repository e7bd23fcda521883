// SPDX-License-Identifier: Apache-2.0
#include "compress/mixed_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/philox.h"

namespace forge::compress {
namespace {

using Units = std::vector<std::vector<StorageChoice>>;

double Divergence(const Units& units, const std::vector<std::size_t>& chosen) {
  double sum = 0;
  for (std::size_t u = 0; u < units.size(); ++u) sum += units[u][chosen[u]].divergence;
  return sum;
}
std::uint64_t Bytes(const Units& units, const std::vector<std::size_t>& chosen) {
  std::uint64_t sum = 0;
  for (std::size_t u = 0; u < units.size(); ++u) sum += units[u][chosen[u]].bytes;
  return sum;
}

/// The least divergence of all 3^units ways.
double Best(const Units& units, std::uint64_t most) {
  double best = 1e300;
  std::vector<std::size_t> chosen(units.size());
  for (int code = 0; code < 729; ++code) {
    int rest = code;
    for (std::size_t& choice : chosen) choice = static_cast<std::size_t>(rest % 3), rest /= 3;
    if (Bytes(units, chosen) <= most) best = std::min(best, Divergence(units, chosen));
  }
  return best;
}

TEST(ChooseStorage, IsWithinOneStepOfTheBestOfAll) {
  Random random(4, "compress/testing/knapsack");
  for (int trial = 0; trial < 50; ++trial) {
    Units units;
    double largest_step = 0;
    for (int u = 0; u < 6; ++u) {
      const std::uint64_t size = 100 + random.Below(300);
      const double loss = random.Uniform();
      units.push_back({{size, loss}, {2 * size, loss * 0.2 * random.Uniform()}, {4 * size, 0}});
      largest_step = std::max(largest_step, loss);
    }
    const std::uint64_t most = 2000 + random.Below(2500);
    const std::vector<std::size_t> chosen = ChooseStorage(units, most);
    EXPECT_LE(Bytes(units, chosen), most);
    const double best = Best(units, most);
    EXPECT_GE(Divergence(units, chosen), best - 1e-12);
    EXPECT_LE(Divergence(units, chosen), best + largest_step);
  }
}

TEST(ChooseStorage, SpendsBytesWhereTheyHelpMost) {
  const Units units{{{10, 1.0}, {20, 0.1}}, {{10, 0.2}, {20, 0.1}}, {{10, 5.0}, {40, 0.1}}};
  EXPECT_THAT(ChooseStorage(units, 30), ::testing::ElementsAre(0, 0, 0));
  EXPECT_THAT(ChooseStorage(units, 60), ::testing::ElementsAre(0, 0, 1));
  EXPECT_THAT(ChooseStorage(units, 70), ::testing::ElementsAre(1, 0, 1));
  EXPECT_THAT(ChooseStorage(units, 80), ::testing::ElementsAre(1, 1, 1));
  EXPECT_THROW(ChooseStorage(units, 29), Error);
}

TEST(ChooseStorage, PassesOverChoicesAboveTheHull) {
  // Twice the bytes for almost nothing, four times for all: the middle is never worth it.
  const Units units{{{10, 1.0}, {20, 0.95}, {40, 0.0}}};
  EXPECT_THAT(ChooseStorage(units, 39), ::testing::ElementsAre(0));
  EXPECT_THAT(ChooseStorage(units, 40), ::testing::ElementsAre(2));
  EXPECT_THAT(ChooseStorage({{{10, 1.0}, {20, 1.5}}}, 100), ::testing::ElementsAre(0));  // larger and worse
}

}  // namespace
}  // namespace forge::compress
