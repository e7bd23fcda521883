// SPDX-License-Identifier: Apache-2.0
#include "runtime/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/float16.h"
#include "base/philox.h"
#include "model/testing_models.h"
#include "runtime/attention.h"
#include "runtime/session.h"

namespace forge::runtime {
namespace {

using model::ModelConfig;
using model::testing::RandomWeights;
using model::testing::TinyConfig;

constexpr int kPrefix = 270, kOwn = 300;  // both beyond the positions that are widened at a time

/// Keys and values of one layer in a cache that stands on another; `round` what becomes of each number.
template <class Round>
std::unique_ptr<KeyValueCache> Fill(const ModelConfig& config, KeyValueType type, const Round& round) {
  Random random(1, "kv");
  const auto size = static_cast<std::size_t>(config.key_value_size());
  const auto fill = [&](KeyValueCache& cache, int first, int count) {
    for (int position = first; position < first + count; ++position) {
      std::vector<float> keys(size), values(size);
      for (std::size_t i = 0; i < size; ++i) {
        keys[i] = round(static_cast<float>(random.Normal()));
        values[i] = round(static_cast<float>(random.Normal()));
      }
      cache.Put(0, position, keys.data(), values.data());
    }
    cache.Extend(count);
  };
  auto prefix = std::make_shared<KeyValueCache>(config, kPrefix, nullptr, type);
  fill(*prefix, 0, kPrefix);
  auto cache = std::make_unique<KeyValueCache>(config, kOwn / 2, prefix, type);
  fill(*cache, kPrefix, kOwn / 2);
  cache->Reserve(kOwn);
  fill(*cache, kPrefix + kOwn / 2, kOwn - kOwn / 2);
  return cache;
}

std::vector<float> AttendLast(const ModelConfig& config, KeyValueCache& cache, int rows) {
  std::vector<TokenInput> tokens;
  std::vector<int> indices;
  for (int r = 0; r < rows; ++r) {
    tokens.push_back({.token = 0, .sequence = 0, .position = kPrefix + kOwn - rows + r});
    indices.push_back(r);
  }
  Random random(2, "queries");
  const auto width = static_cast<std::size_t>(config.query_size());
  std::vector<float> queries(width * static_cast<std::size_t>(rows)), attended(queries.size());
  for (float& query : queries) query = static_cast<float>(random.Normal());
  KeyValueCache* const caches[] = {&cache};
  Attend(config, 0, tokens, indices, caches, queries.data(), width, attended.data());
  return attended;
}

// What halves hold exactly gives the same bits from both.
TEST(KeyValueCache, InHalvesAttendsToTheRoundedNumbers) {
  const ModelConfig config = TinyConfig();
  const auto wide = Fill(config, KeyValueType::kFloat32, [](float x) { return RoundToHalf(x); });
  const auto half = Fill(config, KeyValueType::kFloat16, [](float x) { return x; });
  EXPECT_LT(half->bytes(), wide->bytes() * 51 / 100);
  for (const int rows : {1, 5, 30})
    EXPECT_EQ(AttendLast(config, *half, rows), AttendLast(config, *wide, rows)) << rows;
}

TEST(KeyValueCache, InHalvesHoldsNoInfinity) {
  const ModelConfig config = TinyConfig();
  const auto huge = Fill(config, KeyValueType::kFloat16, [](float x) { return x * 1e6f; });
  for (const float value : AttendLast(config, *huge, 2)) {
    EXPECT_TRUE(std::isfinite(value));
    EXPECT_LE(std::fabs(value), 65504.0f);
  }
}

TEST(KeyValueCache, InHalvesGivesNearlyTheLogitsOfFloatsAndTheSameAloneAndInABatch) {
  const ModelConfig config = TinyConfig();
  const auto model_of = [&](KeyValueType type) {
    PackedWeights weights = PackWeights(config, RandomWeights(config), {.key_values = type});
    return NativeModel(std::move(weights));
  };
  NativeModel wide = model_of(KeyValueType::kFloat32), half = model_of(KeyValueType::kFloat16);
  const std::vector<int> tokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};
  const std::vector<float> expected = wide.Logits(tokens), actual = half.Logits(tokens);
  double largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    largest = std::max(largest, static_cast<double>(std::fabs(expected[i] - actual[i])));
  EXPECT_GT(largest, 0);
  EXPECT_LT(largest, 2e-3);  // halves are within 2^-11 of numbers around 1
  const std::vector<model::GenerateRequest> requests{{{7, 1, 33}}, {{12, 12}}, {{7, 1, 20, 21}}};
  const std::vector<model::Generation> together = half.Generate(requests, {.max_new_tokens = 12});
  for (std::size_t r = 0; r < requests.size(); ++r) {
    EXPECT_EQ(half.Generate(std::span(requests).subspan(r, 1), {.max_new_tokens = 12})[0].log_probs,
              together[r].log_probs);
    Session session(half);
    EXPECT_EQ(session.Generate(requests[r], {.max_new_tokens = 12}).log_probs, together[r].log_probs);
    EXPECT_EQ(session.bytes() % 2, 0u);
  }
}

}  // namespace
}  // namespace forge::runtime
