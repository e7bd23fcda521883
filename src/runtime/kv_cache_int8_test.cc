// SPDX-License-Identifier: Apache-2.0
// Keys and values in blocks of Q8_0.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/float16.h"
#include "base/philox.h"
#include "model/testing_models.h"
#include "runtime/attention.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/kv_cache.h"
#include "runtime/session.h"

namespace forge::runtime {
namespace {

using model::ModelConfig;

constexpr int kPrefix = 270, kOwn = 300;  // both beyond the positions that are widened at a time

/// One layer with heads of `head_dim` features, `group` queries to a key-value head.
ModelConfig OneLayer(int head_dim, int group = 3) {
  ModelConfig config = model::testing::TinyConfig();
  config.num_hidden_layers = 1;
  config.head_dim = head_dim;
  config.num_attention_heads = 2 * group;
  return config;
}

/// By definition: of each 32 features of a head, scale = binary16(largest / 127), codes to the nearest.
std::vector<float> RoundToBlocks(const ModelConfig& config, std::vector<float> row) {
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  for (std::size_t head = 0; head < row.size(); head += head_dim)
    for (std::size_t first = head; first < head + head_dim; first += 32) {
      const std::size_t last = std::min(first + 32, head + head_dim);
      float largest = 0;
      for (std::size_t i = first; i < last; ++i) largest = std::max(largest, std::fabs(row[i]));
      const float scale = RoundToHalf(largest / 127);
      for (std::size_t i = first; i < last; ++i)
        row[i] = scale * std::clamp(std::nearbyint(row[i] * (1 / scale)), -127.0f, 127.0f);
    }
  return row;
}

/// Normal numbers, and one feature that is as much larger as some keys of Qwen2 are.
std::vector<float> RandomRow(const ModelConfig& config, Random& random) {
  std::vector<float> row(static_cast<std::size_t>(config.key_value_size()));
  for (float& value : row) value = static_cast<float>(random.Normal());
  row[1] *= 40;
  return row;
}

/// A cache that stands on another, grown once; each row goes through `round` first.
template <class Round>
std::unique_ptr<KeyValueCache> Fill(const ModelConfig& config, KeyValueType type, const Round& round) {
  Random random(1, "kv");
  const auto fill = [&](KeyValueCache& cache, int first, int count) {
    for (int position = first; position < first + count; ++position) {
      const std::vector<float> keys = round(RandomRow(config, random)),
                               values = round(RandomRow(config, random));
      cache.Put(0, position, keys.data(), values.data());
    }
    cache.Extend(count);
  };
  auto prefix = std::make_shared<KeyValueCache>(config, kPrefix, nullptr, type);
  fill(*prefix, 0, kPrefix);
  auto cache = std::make_unique<KeyValueCache>(config, kOwn / 2 + 3, prefix, type);
  fill(*cache, kPrefix, kOwn / 2);
  cache->Reserve(kOwn);
  fill(*cache, kPrefix + kOwn / 2, kOwn - kOwn / 2);
  return cache;
}

std::vector<float> Queries(const ModelConfig& config, int tokens) {
  Random random(2, "queries");
  std::vector<float> queries(static_cast<std::size_t>(config.query_size() * tokens));
  for (float& query : queries) query = static_cast<float>(random.Normal());
  return queries;
}

/// Of the last `tokens` positions.
std::vector<float> AttendLast(const ModelConfig& config, KeyValueCache& cache, int tokens) {
  std::vector<TokenInput> inputs;
  std::vector<int> rows(static_cast<std::size_t>(tokens));
  std::iota(rows.begin(), rows.end(), 0);
  for (const int row : rows)
    inputs.push_back({.token = 0, .sequence = 0, .position = kPrefix + kOwn - tokens + row});
  const std::vector<float> queries = Queries(config, tokens);
  std::vector<float> attended(queries.size());
  KeyValueCache* const caches[] = {&cache};
  Attend(config, 0, inputs, rows, caches, queries.data(), static_cast<std::size_t>(config.query_size()),
         attended.data());
  return attended;
}

class KeyValuesInBlocks : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override { SetTargetForTest(GetParam()); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
};

INSTANTIATE_TEST_SUITE_P(Targets, KeyValuesInBlocks, testing::ValuesIn(SupportedTargets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

// The result is that of the rounded numbers in float32, to the bit, on every target and for any company.
TEST_P(KeyValuesInBlocks, AttendToTheRoundedNumbers) {
  for (const int head_dim : {8, 48, 80})
    for (const int group : {3, 8}) {
      const ModelConfig config = OneLayer(head_dim, group);
      const auto wide = Fill(config, KeyValueType::kFloat32,
                             [&](const std::vector<float>& row) { return RoundToBlocks(config, row); });
      const auto narrow =
          Fill(config, KeyValueType::kInt8, [](const std::vector<float>& row) { return row; });
      for (const int tokens : {1, 2, 30}) {
        const std::vector<float> attended = AttendLast(config, *narrow, tokens);
        EXPECT_EQ(attended, AttendLast(config, *wide, tokens)) << head_dim << " " << group << " " << tokens;
      }
    }
}

// largest / 254 and what rounding the scale adds: scale <= largest / 127 (1 + 2^-11), |error| <= scale (1/2 +
// 2^-16), the last for the product with the inverse, which is below 127 and off by two roundings.
TEST_P(KeyValuesInBlocks, AreWithinHalfAStepOfEachNumber) {
  const ModelConfig config = OneLayer(80);
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  const std::size_t size = head_dim * 2;
  for (const float magnitude : {1e-9f, 1e-4f, 1.0f, 3e5f, 8e6f}) {
    KeyValueCache cache(config, 40, nullptr, KeyValueType::kInt8);
    Random random(3, "kv");
    std::vector<std::vector<float>> keys, values;
    for (int position = 0; position < 40; ++position) {
      for (auto* rows : {&keys, &values}) {
        rows->emplace_back(size);
        for (float& value : rows->back()) value = magnitude * (2 * static_cast<float>(random.Uniform()) - 1);
      }
      cache.Put(0, position, keys.back().data(), values.back().data());
    }
    cache.Extend(40);
    double worst = 0;
    for (std::size_t head = 0; head < 2; ++head) {
      std::vector<KeyValueSpan> spans;
      cache.AppendSpans(0, static_cast<int>(head), 39, spans);
      ASSERT_EQ(spans.size(), 1u);
      std::vector<float> held_keys(48 * head_dim), held_values(40 * head_dim);
      Widen(spans[0].NarrowKeys(head_dim), 40, head_dim, held_keys.data());
      Widen(spans[0].NarrowValues(), head_dim, 40, held_values.data());
      for (std::size_t position = 0; position < 40; ++position)
        for (std::size_t i = 0; i < head_dim; ++i) {
          const auto step_of = [&](const std::vector<float>& row) {
            const std::size_t first = head * head_dim + i / 32 * 32,
                              last = std::min(first + 32, (head + 1) * head_dim);
            double largest = 0;
            for (std::size_t k = first; k < last; ++k)
              largest = std::max(largest, std::fabs(static_cast<double>(row[k])));
            return largest / 127 * (1 + 0x1p-11);
          };
          const auto check = [&](const std::vector<float>& row, float held) {
            const double error =
                std::fabs(static_cast<double>(row[head * head_dim + i]) - static_cast<double>(held));
            ASSERT_LE(error, std::max(step_of(row) * (0.5 + 0x1p-16), 4e-6)) << magnitude;
            worst = std::max(worst, error / step_of(row));
          };
          check(keys[position], held_keys[(position / 16 * head_dim + i) * 16 + position % 16]);
          check(values[position], held_values[(i / 16 * 40 + position) * 16 + i % 16]);
        }
    }
    EXPECT_GT(worst, 0.45) << magnitude;  // the bound is met, not missed by far
  }
}

// With every key off by at most `key` a feature, a score is off by delta = scale |q|_1 key, a weight by a
// factor between exp(-2 delta) and exp(2 delta), and the result by (exp(2 delta) - 1) max|v| + value.
TEST_P(KeyValuesInBlocks, AttendWithinTheBoundOfExactAttention) {
  const ModelConfig config = OneLayer(64);
  Random random(1, "kv");
  std::vector<std::vector<float>> keys, values;
  KeyValueCache cache(config, 400, nullptr, KeyValueType::kInt8);
  double largest_key = 0, largest_value = 0;
  for (int position = 0; position < 400; ++position) {
    keys.push_back(RandomRow(config, random));
    values.push_back(RandomRow(config, random));
    keys.back()[1] /= 40;  // the bound below takes the largest number for all
    values.back()[1] /= 40;
    for (const float key : keys.back())
      largest_key = std::max(largest_key, std::fabs(static_cast<double>(key)));
    for (const float value : values.back())
      largest_value = std::max(largest_value, std::fabs(static_cast<double>(value)));
    cache.Put(0, position, keys.back().data(), values.back().data());
  }
  cache.Extend(400);
  const std::vector<float> queries = Queries(config, 1);
  std::vector<float> attended(queries.size());
  const TokenInput token{.token = 0, .sequence = 0, .position = 399};
  const int row = 0;
  KeyValueCache* const caches[] = {&cache};
  Attend(config, 0, std::span(&token, 1), std::span(&row, 1), caches, queries.data(), queries.size(),
         attended.data());
  const double step = (0.5 + 0x1p-16) * (1 + 0x1p-11) / 127;
  for (std::size_t head = 0; head < 6; ++head) {
    double norm = 0, total = 0;
    for (std::size_t i = 0; i < 64; ++i) norm += std::fabs(static_cast<double>(queries[head * 64 + i]));
    std::vector<double> exact(64);
    for (std::size_t position = 0; position < 400; ++position) {
      double score = 0;
      for (std::size_t i = 0; i < 64; ++i)
        score += static_cast<double>(queries[head * 64 + i]) *
                 static_cast<double>(keys[position][head / 3 * 64 + i]);
      const double weight = std::exp(score / 8);
      total += weight;
      for (std::size_t i = 0; i < 64; ++i)
        exact[i] += weight * static_cast<double>(values[position][head / 3 * 64 + i]);
    }
    const double delta = norm / 8 * largest_key * step;
    const double bound =
        (std::exp(2 * delta) - 1) * largest_value + largest_value * step + 1e-5;  // float32 sums
    double worst = 0;
    for (std::size_t i = 0; i < 64; ++i)
      worst = std::max(worst, std::fabs(exact[i] / total - static_cast<double>(attended[head * 64 + i])));
    EXPECT_LE(worst, bound);
    EXPECT_GT(worst, 0);
  }
}

TEST(KeyValuesInBlocksOf32, TakeAQuarterOfTheMemoryAndTheirScales) {
  const ModelConfig config = OneLayer(64);
  EXPECT_EQ(KeyValueBytesPerToken(config, KeyValueType::kInt8), 2u * 2 * (64 + 2 * 2));
  const KeyValueCache wide(config, 1024), narrow(config, 1024, nullptr, KeyValueType::kInt8);
  EXPECT_EQ(wide.bytes(), 1024 * KeyValueBytesPerToken(config, KeyValueType::kFloat32));
  EXPECT_EQ(narrow.bytes(), 1024 * KeyValueBytesPerToken(config, KeyValueType::kInt8));
  EXPECT_EQ(narrow.bytes() * 64, wide.bytes() * 17);  // 0.265625
  // One position takes a panel of keys and, since scales are read 16 at a time, those of 16 positions.
  EXPECT_EQ(KeyValueCache(config, 1, nullptr, KeyValueType::kInt8).bytes(),
            2u * (16 * (64 + 4) + 64 + 16 * 4));
}

TEST(KeyValuesInBlocksOf32, ShowANumberThatIsNoneAndHoldHugeOnes) {
  const ModelConfig config = OneLayer(16);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), infinity, -1e30f}) {
    KeyValueCache cache(config, 1, nullptr, KeyValueType::kInt8);
    std::vector<float> keys(32, 1.0f), values(32, 1.0f);
    values[5] = odd;
    cache.Put(0, 0, keys.data(), values.data());
    std::vector<KeyValueSpan> spans;
    cache.AppendSpans(0, 0, 0, spans);
    std::vector<float> held(16);
    Widen(spans[0].NarrowValues(), 16, 1, held.data());
    if (std::isnan(odd)) {
      EXPECT_TRUE(std::isnan(held[4]));
      EXPECT_TRUE(std::isnan(held[5]));
    } else {
      EXPECT_EQ(held[5], std::copysign(127.0f * 65504.0f, odd));
      EXPECT_EQ(held[4], 0.0f);
    }
  }
}

TEST_P(KeyValuesInBlocks, GiveTheSameBitsReadAtOnceOrTokenByToken) {
  const ModelConfig config = model::testing::TinyConfig();
  NativeModel model(config, model::testing::RandomWeights(config), {.key_values = KeyValueType::kInt8});
  NativeModel wide(config, model::testing::RandomWeights(config), {});
  Random random(4, "tokens");
  std::vector<int> tokens(100);
  for (int& token : tokens) token = static_cast<int>(random.Below(40));
  const std::vector<float> at_once = model.Logits(tokens), exact = wide.Logits(tokens);
  const Transformer& transformer = model.transformer();
  KeyValueCache cache = transformer.MakeCache(100);
  KeyValueCache* const caches[] = {&cache};
  std::vector<float> state(64), logits(40);
  double largest = 0;
  for (int position = 0; position < 100; ++position) {
    const TokenInput token{tokens[static_cast<std::size_t>(position)], 0, position};
    const int first = 0;
    transformer.Forward(std::span(&token, 1), caches, std::span(&first, 1), state.data());
    transformer.Head(state.data(), 1, logits.data());
    for (std::size_t i = 0; i < 40; ++i) {
      const std::size_t index = static_cast<std::size_t>(position) * 40 + i;
      ASSERT_EQ(logits[i], at_once[index]) << position;
      largest = std::max(largest, static_cast<double>(std::fabs(at_once[index] - exact[index])));
    }
  }
  EXPECT_GT(largest, 0);
  EXPECT_LT(largest, 3e-2);  // numbers around 1 that are off by 1/254 at most, through two layers
}

// A conversation that goes on, and one that turns back: what is kept of the text before is used, and
// truncated.
TEST(KeyValuesInBlocksOf32, GiveASessionTheBitsOfATextReadAnew) {
  const ModelConfig config = model::testing::TinyConfig();
  NativeModel model(config, model::testing::RandomWeights(config), {.key_values = KeyValueType::kInt8});
  Session kept(model);
  std::vector<int> prompt{7, 1, 33};
  for (const int turn : {0, 1, 2, 3}) {
    const model::Generation said = kept.Generate({prompt}, {.max_new_tokens = 9});
    Session fresh(model);
    const model::Generation anew = fresh.Generate({prompt}, {.max_new_tokens = 9});
    EXPECT_EQ(said.tokens, anew.tokens) << turn;
    EXPECT_EQ(said.log_probs, anew.log_probs) << turn;
    prompt.insert(prompt.end(), said.tokens.begin(), said.tokens.end() - (turn == 2 ? 5 : 0));
    prompt.push_back(12 + turn);
  }
}

}  // namespace
}  // namespace forge::runtime
