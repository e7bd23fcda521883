// SPDX-License-Identifier: Apache-2.0
// 8-bit weights with one scale for each row and rotated inputs, against their definition written out, to the
// bit, and against Q8_0 in how near they are to what they round.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "base/philox.h"
#include "io/gguf_blocks.h"
#include "runtime/ternary/best_rows.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kBlock = 256;  // activations with one scale

std::vector<float> RandomFloats(std::string_view name, std::size_t count) {
  Random random(6, name, count);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

/// Times the matrix of the definition, in double precision.
std::vector<float> Rotated(std::span<const float> x) {
  std::vector<float> rotated;
  for (std::size_t k = 0; k < x.size(); ++k) {
    double sum = 0;
    for (std::size_t j = 0; j < 32; ++j)
      sum += static_cast<double>(x[k / 32 * 32 + j]) * (std::popcount(k % 32 & j) % 2 == 0 ? 1 : -1);
    rotated.push_back(static_cast<float>(sum / std::sqrt(32.0)));
  }
  return rotated;
}

CodeMatrix Pack(const std::vector<float>& weights, std::size_t in, WeightArena& arena) {
  CodeMatrix matrix = CodeMatrix::EmptyRotated(weights.size() / in, in, arena);
  const std::size_t first = matrix.out() / 2;  // in two pieces
  matrix.PutRotated(first, std::span(weights).subspan(first * in));
  matrix.PutRotated(0, std::span(weights).first(first * in));
  return matrix;
}

Int8Rows Quantised(const CodeMatrix& matrix, const std::vector<float>& x) {
  Int8Rows rows = matrix.RoomFor(x.size() / matrix.in());
  rows.Quantize(x.data());
  return rows;
}

std::vector<float> Product(const CodeMatrix& matrix, const std::vector<float>& x) {
  std::vector<float> y(x.size() / matrix.in() * matrix.out(), -7.0f);
  matrix.Multiply(Quantised(matrix, x), {}, y.data());
  return y;
}

class RotatedMatrixTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override { SetTargetForTest(GetParam()); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
  WeightArena arena_;
};

INSTANTIATE_TEST_SUITE_P(Targets, RotatedMatrixTest, testing::ValuesIn(SupportedTargets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

TEST(RotateInputs, MultipliesWithAHadamardMatrixAndTwiceGivesTheInputs) {
  const std::vector<float> x = RandomFloats("x", 96);
  std::vector<float> rotated = x;
  RotateInputs(rotated);
  const std::vector<float> expected = Rotated(x);
  for (std::size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(rotated[k], expected[k], 1e-5f) << k;
  RotateInputs(rotated);
  for (std::size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(rotated[k], x[k], 1e-5f) << k;
}

/// Scales, codes and sums as code_matrix.h and code_panels.h define them.
TEST_P(RotatedMatrixTest, ProductsEqualTheDefinitionForAllShapesAndBatches) {
  for (const std::size_t in : {32u, 256u, 288u, 544u, 1536u}) {
    constexpr std::size_t kOut = 37, kRows = 33;
    std::vector<float> weights = RandomFloats("weights", kOut * in), x = RandomFloats("x", kRows * in);
    std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(3 * in), in, 0.0f);
    std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(in), in, 0.0f);
    const CodeMatrix matrix = Pack(weights, in, arena_);
    ASSERT_EQ(matrix.block(), kBlock);
    std::vector<float> expected;
    for (std::size_t row = 0; row < kRows; ++row) {
      std::vector<float> token(x.begin() + static_cast<std::ptrdiff_t>(row * in),
                               x.begin() + static_cast<std::ptrdiff_t>((row + 1) * in));
      RotateInputs(token);
      for (std::size_t o = 0; o < kOut; ++o) {
        std::vector<float> w(weights.begin() + static_cast<std::ptrdiff_t>(o * in),
                             weights.begin() + static_cast<std::ptrdiff_t>((o + 1) * in));
        RotateInputs(w);
        float most = 0, sum = 0;
        for (const float value : w) most = std::max(most, std::fabs(value));
        const float scale = RoundToHalf(most / 127);
        for (std::size_t start = 0; start < in; start += kBlock) {
          const std::size_t end = std::min(in, start + kBlock);
          float largest = 0;
          for (std::size_t k = start; k < end; ++k) largest = std::max(largest, std::fabs(token[k]));
          std::int64_t dot = 0;
          for (std::size_t k = start; k < end && largest > 0 && scale > 0; ++k)
            dot += std::lrint(std::clamp(w[k] / scale, -127.0f, 127.0f)) *
                   std::lrint(token[k] * (127.0f / largest));
          sum = std::fma(static_cast<float>(dot), scale * (largest / 127.0f), sum);
        }
        expected.push_back(sum);
      }
    }
    for (const std::size_t rows : {1u, 2u, 4u, 5u, 8u, 12u, 13u, 16u, 24u, 33u})
      EXPECT_EQ(Product(matrix, {x.begin(), x.begin() + static_cast<std::ptrdiff_t>(rows * in)}),
                std::vector(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(rows * kOut)))
          << in << ", " << rows << " tokens";
  }
}

TEST_P(RotatedMatrixTest, RowsAreWithinHalfAStepOfWhatWasPut) {
  constexpr std::size_t kOut = 40, kIn = 160;
  const std::vector<float> weights = RandomFloats("weights", kOut * kIn);
  const CodeMatrix matrix = Pack(weights, kIn, arena_);
  std::vector<float> row(kIn);
  for (std::size_t o = 0; o < kOut; ++o) {
    matrix.Row(o, row.data());
    std::vector<float> rotated(weights.begin() + static_cast<std::ptrdiff_t>(o * kIn),
                               weights.begin() + static_cast<std::ptrdiff_t>((o + 1) * kIn));
    RotateInputs(row);
    RotateInputs(rotated);
    float most = 0;
    for (const float value : rotated) most = std::max(most, std::fabs(value));
    // The scale is rounded to binary16, which a code of 127 feels 127-fold: 2^-11 of it.
    for (std::size_t k = 0; k < kIn; ++k) EXPECT_NEAR(row[k], rotated[k], most * (0.51f / 127 + 0x1p-11f));
  }
}

/// The largest sums that can come: all weights of a row alike, so that all are in the first input of 32.
TEST_P(RotatedMatrixTest, LargestProductsDoNotOverflow) {
  constexpr std::size_t kIn = 256;
  std::vector<float> spread(kIn, 1.0f);  // rotates to one large number in 32
  std::vector<float> even(kIn);          // rotates to numbers of one size
  for (std::size_t k = 0; k < kIn; k += 32) even[k] = 1;
  for (const std::vector<float>& weights : {spread, even})
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> x = weights;
      for (float& value : x) value *= sign;
      const float expected = sign * std::inner_product(x.begin(), x.end(), x.begin(), 0.0f);
      const std::vector<float> y = Product(Pack(weights, kIn, arena_), x);
      EXPECT_NEAR(y[0], expected, 1e-3f * std::fabs(expected));
    }
}

/// Root of the mean square of what the products miss, over that of the products.
double Error(const std::vector<float>& y, const std::vector<double>& exact) {
  double missed = 0, all = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    missed += (static_cast<double>(y[i]) - exact[i]) * (static_cast<double>(y[i]) - exact[i]);
    all += exact[i] * exact[i];
  }
  return std::sqrt(missed / all);
}

TEST_P(RotatedMatrixTest, IsAsNearAsQ8ThoughSomeInputsStandOut) {
  constexpr std::size_t kOut = 200, kIn = 512, kRows = 8;
  std::vector<float> weights = RandomFloats("weights", kOut * kIn), x = RandomFloats("x", kRows * kIn);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % kIn % 171 == 5) x[i] *= 20;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (i % kIn % 171 == 5) weights[i] *= 0.1f;
  std::vector<double> exact;
  for (std::size_t row = 0; row < kRows; ++row)
    for (std::size_t o = 0; o < kOut; ++o)
      exact.push_back(std::inner_product(x.begin() + static_cast<std::ptrdiff_t>(row * kIn),
                                         x.begin() + static_cast<std::ptrdiff_t>((row + 1) * kIn),
                                         weights.begin() + static_cast<std::ptrdiff_t>(o * kIn), 0.0));
  CodeMatrix stored = CodeMatrix::EmptyHalves(kOut, kIn, arena_);
  stored.PutRows(0, kOut, [&](std::size_t row) {
    thread_local std::vector<std::byte> bytes;
    bytes.resize(io::RowBytes(io::BlockType::kQ8_0, kIn));
    io::EncodeBlocks(io::BlockType::kQ8_0, std::span(weights).subspan(row * kIn, kIn), bytes);
    return std::span<const std::byte>(bytes);
  });
  const double of_rotated = Error(Product(Pack(weights, kIn, arena_), x), exact),
               of_stored = Error(Product(stored, x), exact);
  EXPECT_LT(of_rotated, 1.1 * of_stored);
  EXPECT_GT(of_rotated, 1e-3);
}

/// What upper_tile adds to 0.5, from codes that are unpacked first where the target can.
std::vector<float> UnpackedBounds(const CodePanels& panels, std::size_t panel, const Int8Rows& x) {
  const HalfKernels& kernels = *ChosenCodeKernels().halves;
  std::vector<float> y(x.rows() * kCodeRows, 0.5f);
  for (std::size_t block = 0; block < x.blocks(); ++block) {
    CodeTile tile(panels, panel, block, 1);
    std::vector<std::uint8_t> codes(tile.quads * kChunkBytes);
    if (kernels.unpacked_upper_tile != nullptr) {
      ChosenCodeKernels().unpack[static_cast<std::size_t>(CodeLayout::kInt4)](tile.codes, tile.quads,
                                                                              codes.data());
      tile.codes = reinterpret_cast<const std::byte*>(codes.data());
      tile.ahead = tile.codes;
      tile.lines_of_step = 1;
    }
    tile.zero_bits = 0;
    tile.y = y.data();
    tile.SetTokens(x.Tile(0), 0, x.rows(), block, x.block());
    (kernels.unpacked_upper_tile != nullptr ? kernels.unpacked_upper_tile : kernels.upper_tile)(tile);
  }
  return y;
}

TEST_P(RotatedMatrixTest, BoundsEqualThoseOfTheScalarTwin) {
  const HalfKernels& twin = *ScalarCodeKernels().halves;
  for (const std::size_t in : {32u, 256u, 576u}) {
    constexpr std::size_t kOut = 70, kTokens = 3;
    const CodeMatrix matrix = Pack(RandomFloats("weights", kOut * in), in, arena_);
    const CodePanels& panels = matrix.code_panels();
    const Int8Rows x = Quantised(matrix, RandomFloats("x", kTokens * in)), first = x.Row(0);
    const std::vector<float> spreads{1.5f, 0.25f, 3.0f, 2.0f, 0.5f};
    const SpreadTile one{first.Tile(0), spreads.data(), 2.0f};
    float bounds[3], expected[3];
    ChosenCodeKernels().halves->bound_panels(panels, one, 0, 3, bounds);
    twin.bound_panels(panels, one, 0, 3, expected);
    for (std::size_t panel = 0; panel < 3; ++panel) EXPECT_EQ(bounds[panel], expected[panel]) << in;
    const std::size_t whole = in / kBlock;
    for (std::size_t panel = 0; panel < 3; ++panel) {
      std::vector<float> y[2];
      for (const bool is_twin : {false, true}) {
        y[is_twin].assign(kTokens * kCodeRows, 0.5f);
        for (std::size_t block = 0; block < x.blocks(); ++block) {
          if (block > 0 && block < whole) continue;
          CodeTile tile(panels, panel, block, block < whole ? whole : 1);
          tile.zero_bits = 0;
          tile.y = y[is_twin].data();
          tile.SetTokens(x.Tile(0), 0, kTokens, block, kBlock);
          (is_twin ? twin : *ChosenCodeKernels().halves).upper_tile(tile);
        }
      }
      EXPECT_EQ(y[0], y[1]) << in;
      EXPECT_EQ(UnpackedBounds(panels, panel, x), y[1]) << in;
      ChosenCodeKernels().halves->bound_rows(panels.Scales(panel, 0), kTokens, spreads.data(), y[0].data(),
                                             bounds);
      twin.bound_rows(panels.Scales(panel, 0), kTokens, spreads.data(), y[0].data(), expected);
      for (std::size_t token = 0; token < kTokens; ++token) EXPECT_EQ(bounds[token], expected[token]);
    }
  }
}

/// The upper halves of the last panel are below all others; what the lower ones of one of its rows add makes
/// that the best.
TEST_P(RotatedMatrixTest, RulesOutNoRowThatItsLowerHalvesMakeTheBest) {
  constexpr std::size_t kOut = 1024, kIn = 256, kBest = 1001;
  std::vector<float> weights, token(kIn);
  std::fill_n(token.begin() + 1, 16,
              1.0f);  // few enough that 8 standard deviations are more than they can add
  for (std::size_t row = 0; row < kOut; ++row) {
    std::vector<float> codes(kIn, row == kBest ? 79.0f : 72.0f);  // 128 more: 16 * 12 + 15, and + 8
    if (row >= kOut - 32) codes[1] -= 16;
    codes[0] = 127;  // so that a step is 1
    RotateInputs(codes);
    weights.insert(weights.end(), codes.begin(), codes.end());
  }
  RotateInputs(token);
  const CodeMatrix matrix = Pack(weights, kIn, arena_);
  for (const std::size_t count : {1u, 3u}) {
    std::vector<float> x;
    for (std::size_t i = 0; i < count; ++i) x.insert(x.end(), token.begin(), token.end());
    for (const std::optional<BestRow>& best :
         FindBestRows(matrix, Quantised(matrix, x), std::vector<std::span<const int>>(count))) {
      EXPECT_EQ(best->row, kBest);
      EXPECT_EQ(best->exact_rows, kOut);
    }
  }
}

TEST_P(RotatedMatrixTest, BestRowsAreThoseOfAllProducts) {
  for (const std::size_t out : {33u, 3000u})
    for (const std::size_t in : {32u, 160u, 576u})
      for (const std::size_t count : {1u, 2u, 5u, 12u, 13u, 16u, 31u}) {
        std::vector<float> x = RandomFloats("x", count * in);
        for (std::size_t i = 0; i < x.size(); ++i)
          x[i] *= std::ldexp(1.0f, static_cast<int>(i / in) * 4 - 50);
        const CodeMatrix matrix = Pack(RandomFloats("weights", out * in), in, arena_);
        ASSERT_TRUE(CanBoundMany(matrix));
        const std::vector<float> y = Product(matrix, x);
        const auto best_of = [&](std::size_t token, int banned) {
          std::size_t best = banned == 0 ? 1 : 0;
          for (std::size_t row = 0; row < out; ++row)
            if (static_cast<int>(row) != banned && y[token * out + row] > y[token * out + best]) best = row;
          return best;
        };
        std::vector<int> bans;  // of every second token its best row
        for (std::size_t token = 0; token < count; ++token)
          bans.push_back(token % 2 == 0 ? -1 : static_cast<int>(best_of(token, -1)));
        std::vector<std::span<const int>> banned;
        for (const int& ban : bans) banned.emplace_back(&ban, 1);
        const std::vector<std::optional<BestRow>> found = FindBestRows(matrix, Quantised(matrix, x), banned);
        for (std::size_t token = 0; token < count; ++token) {
          ASSERT_TRUE(found[token]);
          EXPECT_EQ(found[token]->row, best_of(token, bans[token])) << out << " x " << in << ", " << count;
          EXPECT_EQ(found[token]->value, y[token * out + found[token]->row]);
          if (out == 3000 && in == 576) {
            EXPECT_LT(found[token]->exact_rows, out);
          }
        }
      }
}

}  // namespace
}  // namespace forge::runtime
