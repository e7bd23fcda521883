// SPDX-License-Identifier: Apache-2.0
#include "merge/exact/magnitude_threshold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/philox.h"
#include "base/thread_pool.h"

namespace forge::merge {
namespace {

constexpr std::size_t kPiece = 5000;

/// Runs the passes as a merge does; returns how many over all values it took.
int Find(MagnitudeThreshold& threshold, const std::vector<float>& values) {
  if (threshold.is_sampling()) {
    for (std::size_t i = 0; i < values.size(); i += 64 * 1000)
      threshold.Observe({.of = {values.data() + i}}, std::min<std::size_t>(1000, values.size() - i));
    threshold.EndPass();
  }
  int passes = 0;
  for (; !threshold.done() && passes < 10; ++passes) {
    ThreadPool::Global().Run((values.size() + kPiece - 1) / kPiece, [&](std::size_t piece) {
      const std::size_t first = piece * kPiece;
      threshold.Observe({.of = {values.data() + first}}, std::min(kPiece, values.size() - first));
    });
    threshold.EndPass();
  }
  return passes;
}

void ExpectAsSorted(const std::vector<float>& values, std::size_t k, bool sample, int most_passes) {
  std::vector<float> sorted;
  for (const float value : values) sorted.push_back(std::fabs(value));
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  MagnitudeThreshold threshold(values.size(), k, sample);
  EXPECT_LE(Find(threshold, values), most_passes);
  ASSERT_TRUE(threshold.done());
  const float border = sorted[k - 1];
  EXPECT_EQ(std::bit_cast<float>(threshold.code()), border);
  const auto above = static_cast<std::size_t>(
      std::find_if(sorted.begin(), sorted.end(), [&](float v) { return v == border; }) - sorted.begin());
  EXPECT_EQ(threshold.num_equal(),
            static_cast<std::size_t>(std::count(sorted.begin(), sorted.end(), border)));
  EXPECT_EQ(threshold.num_equal_kept(), k - above);
}

std::vector<float> Normal(std::size_t size) {
  Random random(3, "magnitude_threshold_test");
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(random.Normal() * 0.01);
  return values;
}

TEST(MagnitudeThreshold, IsWhatSortingFinds) {
  const std::vector<float> values = Normal(30'000);
  for (const std::size_t k : {1, 2, 300, 15'000, 29'999, 30'000}) ExpectAsSorted(values, k, false, 1);
}

TEST(MagnitudeThreshold, NeedsOnePassAfterASample) {
  const std::vector<float> values = Normal(1'500'000);
  ExpectAsSorted(values, 450'000, true, 1);
  ExpectAsSorted(values, 1'400'000, true, 1);
}

TEST(MagnitudeThreshold, CountsInBinsWhereThereAreTooManyToGather) {
  ExpectAsSorted(Normal(5'000'000), 1'500'000, false, 2);
}

TEST(MagnitudeThreshold, FindsItsWayBackWhenTheSampleMisleads) {
  std::vector<float> values = Normal(1'500'000);  // sampled places hold other values than the rest
  for (const float factor : {100.0f, 0.01f}) {
    for (std::size_t i = 0; i < values.size(); i += 64 * 1000)
      for (std::size_t j = i; j < std::min(values.size(), i + 1000); ++j) values[j] *= factor;
    ExpectAsSorted(values, 400'000, true, 4);
  }
}

TEST(MagnitudeThreshold, CountsEqualMagnitudes) {
  std::vector<float> values(20'000);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i % 7) * (i % 2 ? 0.5f : -0.5f);
  for (const std::size_t k : {1, 2857, 2858, 10'000, 20'000}) ExpectAsSorted(values, k, false, 2);
}

TEST(RunningCounts, GiveEachPieceWhatThoseBeforeItHold) {
  RunningCounts counts;
  counts.Restart(1);
  std::vector<std::size_t> before(200);
  ThreadPool::Global().Run(before.size(), [&](std::size_t index) {
    std::size_t count[1] = {index};
    ASSERT_TRUE(counts.Add(index, count));
    before[index] = count[0];
  });
  for (std::size_t index = 0; index < before.size(); ++index)
    EXPECT_EQ(before[index], index * (index - 1 + (index == 0)) / 2);
}

TEST(RunningCounts, LetNobodyWaitForAPieceThatFailed) {
  RunningCounts counts;
  counts.Restart(1);
  counts.Abort();
  std::size_t count[1] = {1};
  EXPECT_FALSE(counts.Add(5, count));
}

}  // namespace
}  // namespace forge::merge
