// SPDX-License-Identifier: Apache-2.0
#include "merge/mergekit/sparsify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/philox.h"
#include "merge/mergekit/choices.h"
#include "merge/testing_tensor_tasks.h"

namespace forge::merge {
namespace {

using merge::testing::Example;
using merge::testing::Merged;
using mergekit::KeepRanks;
using mergekit::Mask;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Ranks by sorting all indices: a smaller value first, then a higher index.
Mask KeepRanksBySorting(const std::vector<float>& values, std::size_t low, std::size_t high) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return values[a] != values[b] ? values[a] < values[b] : a > b;
  });
  Mask kept(values.size());
  for (std::size_t rank = low; rank < high; ++rank) kept[order[rank]] = 1;
  return kept;
}

TEST(KeepRanks, IsTheSameAsSortingEverything) {
  Random random(1, "sparsify_test");
  for (std::size_t n = 1; n <= 20; ++n) {
    std::vector<float> values;
    for (std::size_t i = 0; i < n; ++i)
      values.push_back(static_cast<float>(random.Below(6)));  // many are equal
    for (std::size_t low = 0; low <= n; ++low)
      for (std::size_t high = low; high <= n; ++high)
        ASSERT_EQ(KeepRanks(values, low, high), KeepRanksBySorting(values, low, high)) << n << low << high;
  }
}

TEST(KeepRanks, KeepsTheFirstOfEqualValuesAndTakesNanForTheLargest) {
  EXPECT_THAT(KeepRanks(std::vector<float>{2, 1, 2, 2}, 2, 4), ElementsAre(1, 0, 1, 0));
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_THAT(KeepRanks(std::vector<float>{1, std::nanf(""), inf}, 2, 3), ElementsAre(0, 1, 0));
}

/// A sparsifier is seen through the methods that add one change to a zero base.
Example OneChange(std::string method, std::vector<float> change, TensorParameters::Values parameters) {
  parameters.emplace("weight", 1);
  return {.method = std::move(method),
          .inputs = {std::vector<float>(change.size()), std::move(change)},
          .base = 0,
          .of_model = {std::move(parameters)}};
}

StoredChoices Always(Mask mask) {
  return [mask](const TensorTask&, std::optional<std::size_t>) { return mask; };
}

// 0.29 * 100 is 28.999999999999996, so the 28 largest of 1 .. 100 stay: 73 and above. 0.001 * 100 keeps one.
TEST(Sparsify, CountsMagnitudesInDoubleAndKeepsOneAtLeast) {
  std::vector<float> change(100);
  std::iota(change.begin(), change.end(), 1.0f);
  const auto kept = [&](double density) {
    const std::vector<float> merged = Merged(OneChange("ties", change, {{"density", density}}));
    return std::count_if(merged.begin(), merged.end(), [](float value) { return value != 0; });
  };
  EXPECT_EQ(kept(0.29), 28);
  EXPECT_EQ(kept(0.001), 1);
  EXPECT_EQ(kept(0), 0);
  EXPECT_EQ(kept(-0.2), 0);
  EXPECT_EQ(kept(1.5), 100);
}

// (1, 2, 3, -0.5): before 6.5, the two largest 5, factor 1.3. A sum of magnitudes below 1e-7 is left.
TEST(Sparsify, RescalesToTheSumOfMagnitudesBefore) {
  Example example = OneChange("ties", {1, 2, 3, -0.5f}, {{"density", 0.5}});
  example.shared["rescale"] = 1;
  EXPECT_THAT(Merged(example), ::testing::Pointwise(::testing::FloatNear(5e-7f), {0.0f, 2.6f, 3.9f, 0.0f}));
  example.inputs[1] = {1e-8f, 2e-8f, 3e-8f, 4e-9f};
  EXPECT_THAT(Merged(example), ElementsAre(0, 2e-8f, 3e-8f, 0));
}

// Of 1 .. 10 with density 0.4 and gamma 0.2: 9 and 10 go, 5 to 8 stay. With 0.9 and 0.3 only one is left to
// drop at the top. Density 1 keeps all of them, 0.05 none.
TEST(Sparsify, KeepsTheMagnitudesBelowTheOutliers) {
  const std::vector<float> change{10, -9, 8, -7, 6, -5, 4, -3, 2, -1};
  EXPECT_THAT(Merged(OneChange("breadcrumbs", change, {{"density", 0.4}, {"gamma", 0.2}})),
              ElementsAre(0, 0, 8, -7, 6, -5, 0, 0, 0, 0));
  EXPECT_THAT(Merged(OneChange("breadcrumbs", change, {{"density", 0.9}, {"gamma", 0.3}})),
              ElementsAre(0, -9, 8, -7, 6, -5, 4, -3, 2, -1));
  EXPECT_EQ(Merged(OneChange("breadcrumbs", change, {{"density", 1}, {"gamma", 0.5}})), change);
  EXPECT_THAT(Merged(OneChange("breadcrumbs", change, {{"density", 0.05}})), ::testing::Each(0.0f));
}

// Stored: the first and last. (1, 0, 0, 4) has half the sum of magnitudes, so factor 2.
TEST(Sparsify, TakesStoredDraws) {
  Example example = OneChange("dare_linear", {1, 2, 3, 4}, {{"density", 0.3}});
  example.choices = Always({1, 0, 0, 1});
  EXPECT_THAT(Merged(example), ElementsAre(2, 0, 0, 8));
  example.shared["rescale"] = 0;
  EXPECT_THAT(Merged(example), ElementsAre(1, 0, 0, 4));
}

// 3000 of 10 000 are expected at 0.3, with a standard deviation of sqrt(10 000 * 0.3 * 0.7) = 46; five of
// them.
TEST(Sparsify, DropsAtRandomWithTheDensity) {
  Example example = OneChange("dare_linear", std::vector<float>(10'000, 1), {{"density", 0.3}});
  example.shared["rescale"] = 0;
  const auto kept = [&] {
    const std::vector<float> merged = Merged(example);
    return std::count(merged.begin(), merged.end(), 1.0f);
  };
  EXPECT_NEAR(static_cast<double>(kept()), 3000, 230);
  const std::vector<float> first = Merged(example);
  EXPECT_EQ(Merged(example), first);
  example.seed = 2;
  EXPECT_NE(Merged(example), first);
  example.seed = 1;
  example.tensor = "lm_head.weight";
  EXPECT_NE(Merged(example), first);
  example.of_model[0]["density"] = 0;
  EXPECT_EQ(kept(), 0);
}

TEST(Sparsify, DrawsForAnElementWhateverTheOthersAre) {
  Example example = OneChange("dare_linear", std::vector<float>(100, 1), {{"density", 0.5}});
  example.shared["rescale"] = 0;
  const std::vector<float> merged = Merged(example);
  example.inputs = {std::vector<float>(50), std::vector<float>(50, 1)};
  EXPECT_EQ(Merged(example), std::vector<float>(merged.begin(), merged.begin() + 50));
}

TEST(Sparsify, DrawsOtherElementsForEachModel) {
  Example example{.method = "dare_linear",
                  .inputs = {std::vector<float>(100), std::vector<float>(100, 1), std::vector<float>(100, 3)},
                  .base = 0,
                  .shared = {{"rescale", 0}},
                  .of_model = {{{"weight", 1}, {"density", 0.5}}}};
  EXPECT_THAT(Merged(example), ::testing::IsSupersetOf({0.0f, 1.0f, 3.0f, 4.0f}));
}

// 4000 rows of (1, 2) at 0.5 +- 0.3: the smaller is kept with 0.2, 800 times, the larger 3200 times, with a
// standard deviation of sqrt(4000 * 0.2 * 0.8) = 25.
TEST(Sparsify, KeepsLargeMagnitudesOfARowMoreOften) {
  std::vector<float> change(8000);
  for (std::size_t i = 0; i < change.size(); ++i) change[i] = i % 2 == 0 ? 1 : -2;
  Example example = OneChange("della_linear", change, {{"density", 0.5}, {"epsilon", 0.3}});
  example.shape = {4000, 2};
  example.shared["rescale"] = 0;
  const std::vector<float> merged = Merged(example);
  EXPECT_NEAR(static_cast<double>(std::count(merged.begin(), merged.end(), 1.0f)), 800, 125);
  EXPECT_NEAR(static_cast<double>(std::count(merged.begin(), merged.end(), -2.0f)), 3200, 125);
}

TEST(Sparsify, RefusesWhatIsNoProbability) {
  EXPECT_THROW(Merged(OneChange("dare_ties", {1, 2}, {{"density", -0.2}})), Error);
  EXPECT_THROW(Merged(OneChange("della", {1, 2}, {{"density", 0.9}})), Error);  // 0.9 + 0.15 is above 1
  EXPECT_THROW(Merged(OneChange("della", {1, 2}, {{"density", 0.5}, {"epsilon", 0.5}})), Error);
  Example narrow = OneChange("della", {1, 2}, {{"density", 0.5}});
  narrow.shape = {2, 1};
  EXPECT_THROW(Merged(narrow), Error);
}

// Of (2, 1, 2, 2) half stays: two of the three 2s, whichever the file says; with the 1 it is another merge's.
TEST(StoredChoice, DecidesBetweenEqualMagnitudesOnly) {
  Example example = OneChange("ties", {2, 1, -2, 2}, {{"density", 0.5}});
  EXPECT_THAT(Merged(example), ElementsAre(2, 0, -2, 0));
  example.choices = Always({0, 0, 1, 1});
  EXPECT_THAT(Merged(example), ElementsAre(0, 0, -2, 2));
  for (const Mask& wrong : {Mask{0, 1, 1, 0}, Mask{1, 0, 0, 0}, Mask{1, 0, 1, 1}}) {
    example.choices = Always(wrong);
    try {
      Merged(example);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_THAT(error.fields().why, HasSubstr("other magnitudes than ties"));
    }
  }
}

}  // namespace
}  // namespace forge::merge
