// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/best_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "base/philox.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

/// An 8-bit matrix by its codes and scales.
struct Stored {
  std::size_t out, in;
  std::vector<int> codes;     // [out, in], -128 .. 127
  std::vector<float> scales;  // [out, in / 32], binary16

  CodeMatrix Pack(WeightArena& arena) const {
    CodeMatrix matrix = CodeMatrix::EmptyHalves(out, in, arena);
    matrix.PutRows(0, out, [&](std::size_t row) {
      thread_local std::vector<std::byte> bytes;
      bytes.clear();
      for (std::size_t k = 0; k < in; ++k) {
        if (k % 32 == 0) {
          const std::uint16_t half = FloatToHalf(scales[(row * in + k) / 32]);
          bytes.push_back(static_cast<std::byte>(half & 255));
          bytes.push_back(static_cast<std::byte>(half >> 8));
        }
        bytes.push_back(static_cast<std::byte>(codes[row * in + k]));
      }
      return std::span<const std::byte>(bytes);
    });
    return matrix;
  }
};

/// Normal weights of different sizes, rounded as Q8_0 is.
Stored RandomStored(std::size_t out, std::size_t in) {
  Random random(11, "stored", out * in);
  Stored stored{out, in, {}, {}};
  for (std::size_t block = 0; block < out * in / 32; ++block) {
    float values[32], most = 0;
    for (float& value : values) {
      value = static_cast<float>(random.Normal() * (0.5 + static_cast<double>(block % 5)));
      most = std::max(most, std::fabs(value));
    }
    stored.scales.push_back(RoundToHalf(most / 127));
    for (const float value : values)
      stored.codes.push_back(
          static_cast<int>(std::lrint(std::min(127.0f, std::max(-127.0f, value / stored.scales.back())))));
  }
  return stored;
}

std::vector<float> RandomToken(std::size_t in, std::uint64_t seed) {
  Random random(seed, "token");
  std::vector<float> x(in);
  for (float& value : x) value = static_cast<float>(random.Normal());
  return x;
}

Int8Rows Quantised(const CodeMatrix& matrix, const std::vector<std::vector<float>>& tokens) {
  Int8Rows rows;
  rows.Resize(tokens.size(), matrix.in(), matrix.block());
  std::vector<float> x;
  for (const std::vector<float>& token : tokens) x.insert(x.end(), token.begin(), token.end());
  rows.Quantize(x.data());
  return rows;
}
Int8Rows Quantised(const CodeMatrix& matrix, const std::vector<float>& x) {
  return Quantised(matrix, std::vector<std::vector<float>>{x});
}
/// Of one token.
std::optional<BestRow> FindBestRow(const CodeMatrix& matrix, const Int8Rows& x, std::span<const int> banned) {
  return FindBestRows(matrix, x, {&banned, 1}).at(0);
}

/// What FindBestRow has to give: from the whole product.
std::optional<BestRow> Expected(const CodeMatrix& matrix, const Int8Rows& x, const std::vector<int>& banned) {
  std::vector<float> y(matrix.out());
  matrix.Multiply(x, {}, y.data());
  std::optional<BestRow> best;
  for (std::size_t row = 0; row < y.size(); ++row)
    if (std::find(banned.begin(), banned.end(), static_cast<int>(row)) == banned.end() &&
        (!best || y[row] > best->value))
      best = {row, y[row], 0};
  return best;
}

class BestRowTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override { SetTargetForTest(GetParam()); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
  WeightArena arena_;
};

INSTANTIATE_TEST_SUITE_P(Targets, BestRowTest, testing::ValuesIn(SupportedTargets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

/// Targets that take several tokens at once.
class BestRowsOfManyTest : public BestRowTest {
 public:
  static std::vector<CpuTarget> Targets() {
    std::vector<CpuTarget> targets = SupportedTargets();
    std::erase(targets, CpuTarget::kAvx512);
    return targets;
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, BestRowsOfManyTest, testing::ValuesIn(BestRowsOfManyTest::Targets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

TEST_P(BestRowTest, IsTheBestOfTheWholeProductForAllShapesAndBannedRows) {
  for (const std::size_t out : {1u, 31u, 32u, 33u, 700u, 2000u})
    for (const std::size_t in : {32u, 96u, 576u}) {
      const CodeMatrix matrix = RandomStored(out, in).Pack(arena_);
      std::vector<int> banned;
      for (std::uint64_t seed = 0; seed < 12; ++seed) {
        const Int8Rows x = Quantised(matrix, RandomToken(in, seed / 2));
        const std::optional<BestRow> expected = Expected(matrix, x, banned),
                                     actual = FindBestRow(matrix, x, banned);
        ASSERT_EQ(actual.has_value(), expected.has_value());
        if (!expected) break;  // all banned
        EXPECT_EQ(actual->row, expected->row) << out << " x " << in;
        EXPECT_EQ(actual->value, expected->value);
        banned.push_back(static_cast<int>(expected->row));
      }
    }
}

/// Beside others, which have their own bounds and bans: every number of tokens in a tile, and more than one.
TEST_P(BestRowsOfManyTest, IsTheSameForManyTokensAsForEachAlone) {
  ASSERT_NE(ChosenCodeKernels().halves->bound_tokens, nullptr);
  for (const std::size_t out : {33u, 2000u})
    for (const std::size_t in : {32u, 96u, 576u})
      for (const std::size_t count : {2u, 3u, 4u, 5u, 7u, 9u, 12u, 13u, 16u, 31u}) {
        const CodeMatrix matrix = RandomStored(out, in).Pack(arena_);
        std::vector<std::vector<float>> tokens;
        std::vector<std::vector<int>> banned;
        for (std::size_t token = 0; token < count; ++token) {
          tokens.push_back(RandomToken(in, token));
          for (float& value : tokens.back())
            value *= token == 1 ? 0.0f : std::ldexp(1.0f, 4 * static_cast<int>(token) - 60);
          banned.emplace_back();
          if (token % 3 == 1) banned.back().push_back(0);
          if (token % 3 == 2)
            banned.back().push_back(
                static_cast<int>(Expected(matrix, Quantised(matrix, tokens.back()), {})->row));
          if (token == 6)
            for (std::size_t row = 0; row < out; ++row) banned.back().push_back(static_cast<int>(row));
        }
        const std::vector<std::span<const int>> bans(banned.begin(), banned.end());
        const std::vector<std::optional<BestRow>> together =
            FindBestRows(matrix, Quantised(matrix, tokens), bans);
        ASSERT_EQ(together.size(), count);
        for (std::size_t token = 0; token < count; ++token) {
          const std::optional<BestRow> alone =
              Expected(matrix, Quantised(matrix, tokens[token]), banned[token]);
          ASSERT_EQ(together[token].has_value(), alone.has_value()) << out << " x " << in << ", " << token;
          if (!alone) continue;
          EXPECT_EQ(together[token]->row, alone->row)
              << out << " x " << in << ", " << token << " of " << count;
          EXPECT_EQ(together[token]->value, alone->value);
          if (out == 2000 && in == 576 && token != 1) {
            EXPECT_LT(together[token]->exact_rows, out);
          }
        }
      }
}

/// One row stands out: the others are ruled out by their upper halves.
TEST_P(BestRowTest, ReadsTheLowerHalvesOfFewRows) {
  Stored stored = RandomStored(3200, 256);
  const std::vector<float> x = RandomToken(256, 1);
  for (std::size_t k = 0; k < 256; ++k) stored.codes[1777 * 256 + k] = x[k] > 0 ? 127 : -128;
  const CodeMatrix matrix = stored.Pack(arena_);
  const std::optional<BestRow> best = FindBestRow(matrix, Quantised(matrix, x), {});
  ASSERT_TRUE(best);
  EXPECT_EQ(best->row, 1777u);
  EXPECT_EQ(best->exact_rows, 16u * kCodeRows);
}

/// Rows that are equal in their upper halves, many of them, and in the end to the bit.
TEST_P(BestRowTest, PicksTheLowestOfEqualRowsAndTheBestOfRowsThatDifferInLowerHalvesOnly) {
  constexpr std::size_t kOut = 1024, kIn = 64;
  const std::vector<float> x = RandomToken(kIn, 4);
  Stored stored{kOut, kIn, std::vector<int>(kOut * kIn), std::vector<float>(kOut * kIn / 32, 0.25f)};
  for (std::size_t i = 0; i < stored.codes.size(); ++i) stored.codes[i] = x[i % kIn] > 0 ? 64 : -64;
  const auto find = [&](const Stored& rows) {
    const CodeMatrix matrix = rows.Pack(arena_);
    return FindBestRow(matrix, Quantised(matrix, x), std::vector<int>{0, 1});
  };
  const std::optional<BestRow> equal = find(stored);
  ASSERT_TRUE(equal);
  EXPECT_EQ(equal->row, 2u);
  EXPECT_EQ(equal->exact_rows, kOut);
  for (std::size_t k = 0; k < kIn; ++k) stored.codes[901 * kIn + k] += x[k] > 0 ? 15 : 0;
  EXPECT_EQ(find(stored)->row, 901u);
}

/// The same beside a token of which few rows are left.
TEST_P(BestRowsOfManyTest, RulesOutRowsForOneTokenThatAnotherNeeds) {
  constexpr std::size_t kOut = 1024, kIn = 64, kBest = 901;
  const std::vector<float> x = RandomToken(kIn, 4);
  Stored stored{kOut, kIn, std::vector<int>(kOut * kIn), std::vector<float>(kOut * kIn / 32, 0.25f)};
  for (std::size_t i = 0; i < stored.codes.size(); ++i)
    stored.codes[i] = (x[i % kIn] > 0 ? 64 : -64) + (i / kIn == kBest && x[i % kIn] > 0 ? 15 : 0);
  std::vector<float> other(kIn);
  other[0] = 1;
  for (std::size_t row = 0; row < 32; ++row) stored.codes[row * kIn] = 127;
  const CodeMatrix matrix = stored.Pack(arena_);
  for (const bool is_first : {true, false}) {
    const std::vector<std::vector<float>> tokens = is_first ? std::vector{other, x} : std::vector{x, other};
    const std::vector<std::span<const int>> banned(2);
    const std::vector<std::optional<BestRow>> best = FindBestRows(matrix, Quantised(matrix, tokens), banned);
    EXPECT_EQ(best[is_first ? 0 : 1]->row, 0u);
    EXPECT_LT(best[is_first ? 0 : 1]->exact_rows, kOut);
    EXPECT_EQ(best[is_first ? 1 : 0]->row, kBest);
  }
}

TEST_P(BestRowTest, TakesTheFirstRowWhereNothingDiffers) {
  const CodeMatrix matrix = RandomStored(100, 64).Pack(arena_);
  const std::optional<BestRow> best = FindBestRow(matrix, Quantised(matrix, std::vector<float>(64)), {});
  ASSERT_TRUE(best);
  EXPECT_EQ(best->row, 0u);
  EXPECT_EQ(best->value, 0.0f);
  EXPECT_EQ(best->exact_rows, 4u * kCodeRows);
}

TEST_P(BestRowTest, IsTheSameForTokensOfAnySize) {
  const CodeMatrix matrix = RandomStored(900, 96).Pack(arena_);
  const std::vector<float> x = RandomToken(96, 3);
  const std::size_t row = FindBestRow(matrix, Quantised(matrix, x), {})->row;
  for (const int power : {-90, -40, 40, 90}) {
    std::vector<float> scaled = x;
    for (float& value : scaled) value = std::ldexp(value, power);
    const std::optional<BestRow> best = FindBestRow(matrix, Quantised(matrix, scaled), {});
    EXPECT_EQ(best->row, row);
    EXPECT_LT(best->exact_rows, 900u) << power;
  }
}

/// The bound from its definition: what the codes 16 upper + 7.5 give, plus the spread.
TEST_P(BestRowTest, BoundsEqualTheirDefinition) {
  for (const std::size_t in : {32u, 64u, 320u}) {
    const Stored stored = RandomStored(70, in);
    const CodeMatrix matrix = stored.Pack(arena_);
    const std::vector<float> values = RandomToken(in, 8);
    const Int8Rows x = Quantised(matrix, values);
    std::vector<float> spreads;
    for (std::size_t block = 0; block < in / 32; ++block) spreads.push_back(0.5f + static_cast<float>(block));
    float bounds[3], from_second[2];
    const SpreadTile tile{x.Tile(0), spreads.data(), 2.0f};
    ChosenCodeKernels().halves->bound_panels(matrix.code_panels(), tile, 0, 3, bounds);
    ChosenCodeKernels().halves->bound_panels(matrix.code_panels(), tile, 1, 3, from_second);
    EXPECT_EQ(bounds[1], from_second[0]);
    EXPECT_EQ(bounds[2], from_second[1]);
    for (std::size_t panel = 0; panel < 3; ++panel) {
      float most = panel == 2 ? 0.0f : -1e30f;  // rows that are not there count as 0
      for (std::size_t row = 32 * panel; row < std::min<std::size_t>(70, 32 * panel + 32); ++row) {
        float y = 0, variance = 0;
        for (std::size_t block = 0; block < in / 32; ++block) {
          int twice = 0;
          for (std::size_t k = 32 * block; k < 32 * block + 32; ++k)
            twice += x.Tile(0).codes[k] * (2 * ((stored.codes[row * in + k] + 128) / 16 * 16 - 128) + 15);
          const float scale = stored.scales[(row * in) / 32 + block];
          y = std::fma(static_cast<float>(twice), scale * (x.Tile(0).scales[block] / 2), y);
          variance = std::fma(scale * scale, spreads[block], variance);
        }
        most = std::max(most, std::fma(2.0f, std::sqrt(variance), y));
      }
      EXPECT_EQ(bounds[panel], most) << in << ", panel " << panel;
    }
  }
}

/// The same of several tokens: the middles are rounded down to whole numbers, and each 8 blocks count with
/// the largest of their weight scales.
TEST_P(BestRowsOfManyTest, BoundsOfTokensEqualTheirDefinition) {
  ASSERT_NE(ChosenCodeKernels().halves->bound_tokens, nullptr);
  constexpr std::size_t kTokens = 3, kBounds = 7, kStride = 8;  // bounds: of the three again and again
  for (const std::size_t in : {32u, 320u}) {
    const Stored stored = RandomStored(70, in);
    const CodeMatrix matrix = stored.Pack(arena_);
    std::vector<std::vector<float>> tokens;
    for (std::size_t token = 0; token < kTokens; ++token) tokens.push_back(RandomToken(in, 8 + token));
    const Int8Rows x = Quantised(matrix, tokens);
    ASSERT_EQ(x.width(), kTokens);
    const std::size_t blocks = in / 32;
    std::vector<std::int32_t> middles(x.Tile(0).sums, x.Tile(0).sums + blocks * kTokens);
    for (std::int32_t& middle : middles) middle = kTwiceMiddle * middle / 2;
    std::vector<float> spreads, units;  // spreads [blocks][kStride]
    for (std::size_t i = 0; i < blocks * kStride; ++i)
      spreads.push_back(i % kStride < kBounds ? 0.5f + static_cast<float>(i * i % 31) : 0.0f);
    for (std::size_t i = 0; i < kBounds; ++i) units.push_back(static_cast<float>((i + 2) % 4));
    const CodePanels& panels = matrix.code_panels();
    for (std::size_t panel = 0; panel < 3; ++panel) {
      std::vector<float> y(kTokens * kCodeRows), bounds(kBounds);
      for (std::size_t block = 0; block < blocks; ++block) {
        CodeTile tile(panels, panel, block, 1);
        Int8Tile of_block = x.Tile(0);
        of_block.sums = middles.data();
        tile.SetTokens(of_block, 0, kTokens, block, 32);
        tile.zero_bits = 0;
        tile.y = y.data();
        ChosenCodeKernels().halves->upper_tile(tile);
      }
      for (std::size_t i = kTokens * kCodeRows; i < kBounds * kCodeRows; ++i)
        y.push_back(y[i - kTokens * kCodeRows]);
      ChosenCodeKernels().halves->bound_tokens(
          panels, panel, {kBounds, kStride, spreads.data(), units.data()}, y.data(), bounds.data());
      for (std::size_t token = 0; token < kBounds; ++token) {
        const Int8Rows alone = Quantised(matrix, tokens[token % kTokens]);
        float most = panel == 2 ? 0.0f : -1e30f;
        for (std::size_t row = 32 * panel; row < std::min<std::size_t>(70, 32 * panel + 32); ++row) {
          float sum = 0, variance = 0;
          for (std::size_t block = 0; block < blocks; ++block) {
            int dot = -kTwiceMiddle * alone.Tile(0).sums[block] / 2;
            for (std::size_t k = 32 * block; k < 32 * block + 32; ++k)
              dot += alone.Tile(0).codes[k] * ((stored.codes[row * in + k] + 128) / 16 * 16);
            const float scale = stored.scales[row * blocks + block];
            sum = std::fma(static_cast<float>(dot), scale * alone.Tile(0).scales[block], sum);
            variance = std::fma(scale * scale, spreads[block * kStride + token], variance);
          }
          most = std::max(most, std::fma(units[token], std::sqrt(variance), sum));
        }
        EXPECT_EQ(bounds[token], most) << in << ", panel " << panel << ", token " << token;
      }
    }
  }
}

/// What the derivation says of the error of the upper halves, on normal weights: the standard deviation, and
/// that none of a million is beyond 6 of them (a normal one: 1 in 5e8 on one side).
TEST(BestRow, ErrorOfTheUpperHalvesHasTheSpreadThatIsDerived) {
  constexpr std::size_t kOut = 4000, kIn = 256;
  const Stored stored = RandomStored(kOut, kIn);
  double sum_of_squares = 0, largest = 0;
  constexpr int kTokens = 25;
  for (int token = 0; token < kTokens; ++token) {
    const std::vector<float> x = RandomToken(kIn, 100 + static_cast<std::uint64_t>(token));
    for (std::size_t row = 0; row < kOut; ++row) {
      double error = 0, variance = 0;
      for (std::size_t k = 0; k < kIn; ++k) {
        const double scale =
            static_cast<double>(stored.scales[(row * kIn + k) / 32]) * static_cast<double>(x[k]);
        error += scale * ((stored.codes[row * kIn + k] + 128) % 16 - 7.5);
        variance += 21.25 * scale * scale;
      }
      const double z = error / std::sqrt(variance);
      sum_of_squares += z * z;
      largest = std::max(largest, std::fabs(z));
    }
  }
  EXPECT_NEAR(std::sqrt(sum_of_squares / (kTokens * kOut)), 1.0, 0.02);
  EXPECT_LT(largest, 6.0);
}

}  // namespace
}  // namespace forge::runtime
