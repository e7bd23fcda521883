// SPDX-License-Identifier: Apache-2.0
#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/philox.h"

namespace forge::runtime {
namespace {

/// One by one.
int FirstHighest(const std::vector<float>& logits, const std::vector<int>& banned) {
  int best = -1;
  for (int id = 0; id < static_cast<int>(logits.size()); ++id) {
    if (std::find(banned.begin(), banned.end(), id) != banned.end()) continue;
    if (best < 0 || logits[static_cast<std::size_t>(id)] > logits[static_cast<std::size_t>(best)]) best = id;
  }
  return best;
}

TEST(SamplerTest, GreedyTakesTheFirstOfTheHighestThatIsNotBanned) {
  Random random(5, "logits");
  for (int round = 0; round < 200; ++round) {
    // Few different values, so that the highest stands in several pieces and lanes.
    std::vector<float> logits(1 + random.Below(4000));
    for (float& logit : logits) logit = static_cast<float>(random.Below(round % 2 == 0 ? 9 : 4000));
    model::GenerateOptions options;
    options.temperature = 0;
    for (int i = 0; i < round % 4 && logits.size() > 8; ++i)
      options.banned_token_ids.push_back(FirstHighest(logits, options.banned_token_ids));
    EXPECT_EQ(SampleToken(logits, options, random).token, FirstHighest(logits, options.banned_token_ids));
  }
}

TEST(SamplerTest, GreedyFindsTheHighestWhereverItIs) {
  model::GenerateOptions options;
  options.temperature = 0;
  Random random(1, "unused");
  std::vector<float> logits(2100);
  for (std::size_t place = 0; place < logits.size(); ++place) {
    logits[place] = 1;
    EXPECT_EQ(SampleToken(logits, options, random).token, static_cast<int>(place));
    logits[place] = 0;
  }
}

TEST(SamplerTest, GreedyPassesOverValuesThatAreNoNumbers) {
  std::vector<float> logits(5000, -1.0f);
  for (std::size_t i = 1; i < logits.size(); i += 3) logits[i] = std::numeric_limits<float>::quiet_NaN();
  logits[3089] = 2;  // in the lane of 3073, which is none
  model::GenerateOptions options;
  options.temperature = 0;
  Random random(1, "unused");
  EXPECT_EQ(SampleToken(logits, options, random).token, 3089);
}

TEST(SamplerTest, AllBannedIsAnError) {
  model::GenerateOptions options;
  options.temperature = 0;
  options.banned_token_ids = {0, 1};
  Random random(1, "unused");
  EXPECT_THROW(SampleToken(std::vector<float>{1, 2}, options, random), Error);
}

}  // namespace
}  // namespace forge::runtime
