// SPDX-License-Identifier: Apache-2.0
// Twin tests: every target the machine has gives the bits of the scalar kernels, for every short and odd
// length.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/float16.h"
#include "base/philox.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/kernels/packed_matrix.h"

namespace forge::runtime {
namespace {

std::vector<float> RandomFloats(std::string_view name, std::size_t count, float scale = 1) {
  Random random(11, name, count);
  std::vector<float> values(count);
  for (float& value : values) value = scale * static_cast<float>(random.Normal());
  return values;
}

class EveryTarget : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override { SetTargetForTest(GetParam()); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
  const KernelTable& fast() { return Kernels(); }
  const KernelTable& twin() { return ScalarKernels(); }
};

INSTANTIATE_TEST_SUITE_P(Kernels, EveryTarget, testing::ValuesIn(SupportedTargets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

TEST_P(EveryTarget, GemmTileEqualsItsTwinForAllRowsAndColumns) {
  const auto max_rows = static_cast<std::size_t>(fast().tile_rows);
  const std::size_t max_columns = kPanelWidth * static_cast<std::size_t>(fast().tile_panels);
  for (const std::size_t depth : {0u, 1u, 7u, 64u, 129u}) {
    // Panels further apart than they are long, as those of values in a cache.
    const std::size_t panel_stride = depth * kPanelWidth + 32;
    const std::vector<float> x = RandomFloats("x", max_rows * depth + 1),
                             panels = RandomFloats("p", max_columns / kPanelWidth * panel_stride);
    for (std::size_t rows = 1; rows <= max_rows; ++rows)
      for (std::size_t columns = 1; columns <= max_columns; ++columns)
        for (const bool accumulate : {false, true}) {
          const std::size_t stride = max_columns + 4;
          std::vector<float> expected(max_rows * stride, -7.0f),
              actual = expected;  // -7: must stay untouched
          PanelProduct tile{x.data(), depth,           rows,   panels.data(), panel_stride,
                            depth,    expected.data(), stride, columns,       accumulate};
          twin().gemm_tile(tile);
          tile.out = actual.data();
          fast().gemm_tile(tile);
          ASSERT_EQ(actual, expected) << depth << " " << rows << " " << columns << " " << accumulate;
        }
  }
}

/// Narrow panels of random codes and scales, two of them further apart than they are long.
struct RandomNarrowPanels {
  NarrowPanels panels;
  std::vector<std::byte> codes;
  std::vector<std::uint16_t> scales;

  RandomNarrowPanels(PanelNumbers numbers, std::size_t depth) {
    Random random(5, "narrow", depth);
    const std::size_t stride = depth * kPanelWidth + 48, rows = (depth + 15) / 16 * 16;
    const std::size_t scale_stride = (depth + 31) / 32 * 16;
    codes.resize(2 * stride * BytesOf(numbers));
    for (std::size_t i = 0; i < 2 * stride; ++i) {
      const std::uint16_t half = FloatToHalf(static_cast<float>(random.Normal()));
      const auto code = static_cast<std::int8_t>(static_cast<int>(random.Below(255)) - 127);
      numbers == PanelNumbers::kHalf ? std::memcpy(codes.data() + 2 * i, &half, 2)
                                     : std::memcpy(codes.data() + i, &code, 1);
    }
    scales.resize(2 * std::max(rows, scale_stride));
    for (std::uint16_t& scale : scales) scale = FloatToHalf(static_cast<float>(random.Normal()));
    panels = {numbers, codes.data(), stride, scales.data(), scale_stride};
  }
};

TEST_P(EveryTarget, NarrowTilesEqualTheirTwinAndTheProductOfWhatTheyWiden) {
  for (const PanelNumbers numbers :
       {PanelNumbers::kHalf, PanelNumbers::kInt8ByColumn, PanelNumbers::kInt8ByRow})
    for (const std::size_t depth : {0u, 1u, 15u, 16u, 37u, 64u, 129u}) {
      const RandomNarrowPanels narrow(numbers, depth);
      const std::vector<float> x = RandomFloats("x", kNarrowRows * depth + 1);
      std::vector<float> expected_floats(2 * depth * kPanelWidth + 1, -7.0f), floats = expected_floats;
      for (const std::size_t panels : {1u, 2u}) {
        twin().widen_pair(narrow.panels, panels, depth, expected_floats.data());
        fast().widen_pair(narrow.panels, panels, depth, floats.data());
        ASSERT_EQ(floats, expected_floats) << static_cast<int>(numbers) << " " << depth << " " << panels;
      }
      EXPECT_EQ(floats.back(), -7.0f);
      for (std::size_t rows = 1; rows <= kNarrowRows; ++rows)
        for (std::size_t columns = 1; columns <= 2 * kPanelWidth; ++columns)
          for (const bool accumulate : {false, true}) {
            const std::size_t stride = 2 * kPanelWidth + 4;
            std::vector<float> expected(kNarrowRows * stride, -7.0f), actual = expected, widened = expected;
            PanelProduct tile{x.data(), depth,           rows,   nullptr, 0,
                              depth,    expected.data(), stride, columns, accumulate};
            twin().narrow_tile(tile, narrow.panels);
            tile.out = actual.data();
            fast().narrow_tile(tile, narrow.panels);
            ASSERT_EQ(actual, expected) << static_cast<int>(numbers) << " " << depth << " " << rows << " "
                                        << columns << " " << accumulate;
            tile.out = widened.data();
            tile.panels = floats.data();
            tile.panel_stride = depth * kPanelWidth;
            Multiply(tile);
            ASSERT_EQ(widened, expected) << static_cast<int>(numbers) << " " << depth << " " << rows << " "
                                         << columns << " " << accumulate;
          }
    }
}

TEST_P(EveryTarget, ElementwiseKernelsEqualTheirTwinsAtEveryShortLength) {
  for (std::size_t size = 1; size <= 70; ++size) {
    const std::vector<float> a = RandomFloats("a", size, 3), b = RandomFloats("b", size);
    EXPECT_EQ(fast().dot(a.data(), b.data(), size), twin().dot(a.data(), b.data(), size));
    EXPECT_EQ(fast().log_sum_exp(a.data(), size), twin().log_sum_exp(a.data(), size));
    std::vector<float> expected(size), actual(size);
    twin().rms_norm(a.data(), b.data(), size, 1e-6f, expected.data());
    fast().rms_norm(a.data(), b.data(), size, 1e-6f, actual.data());
    EXPECT_EQ(actual, expected);
    expected = actual = a;
    twin().silu_multiply(expected.data(), b.data(), size);
    fast().silu_multiply(actual.data(), b.data(), size);
    EXPECT_EQ(actual, expected);
    expected = actual = b;
    twin().axpy(0.3f, a.data(), size, expected.data());
    fast().axpy(0.3f, a.data(), size, actual.data());
    EXPECT_EQ(actual, expected);
  }
}

TEST_P(EveryTarget, HalvesAreThoseOfTheConversionCutAtTheLargest) {
  std::vector<float> x;
  Random random(1, "halves");
  for (int i = 0; i < 100'000; ++i) {  // any bits, and those around the numbers of binary16
    const auto bits = random.Below(0xffffffff);
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(HalfToFloat(static_cast<std::uint16_t>(bits)) *
                (1 + static_cast<float>(random.Below(64)) * 0x1p-14f));
  }
  for (const float value : {0.0f, 65504.0f, 65519.9f, 65520.0f, 1e30f, 0x1p-25f, 0x1.8p-25f, 1e-40f})
    x.push_back(value);
  for (const std::size_t size : {x.size(), std::size_t{1}, std::size_t{7}, std::size_t{19}}) {
    std::vector<std::uint16_t> actual(size), expected;
    fast().to_half(x.data() + x.size() - size, size, actual.data());
    for (std::size_t i = x.size() - size; i < x.size(); ++i)
      expected.push_back(FloatToHalf(std::isnan(x[i]) ? x[i] : std::clamp(x[i], -65504.0f, 65504.0f)));
    EXPECT_EQ(actual, expected);
  }
}

TEST_P(EveryTarget, SoftmaxEqualsItsTwinAndAddsUpToOne) {
  for (std::size_t size = 1; size <= 70; ++size) {
    std::vector<float> expected = RandomFloats("s", size, 3), actual = expected;
    twin().softmax(expected.data(), size, 0.4f);
    fast().softmax(actual.data(), size, 0.4f);
    EXPECT_EQ(actual, expected);
    EXPECT_NEAR(std::accumulate(actual.begin(), actual.end(), 0.0), 1.0, 1e-6);
  }
}

// The clamped polynomial exp: 3 ulp would be 3.6e-7 relative; log_sum_exp of two values shows it through log.
TEST_P(EveryTarget, LogSumExpMatchesDoublePrecision) {
  for (float x = -30; x < 30; x += 0.37f) {
    const std::vector<float> pair{0.0f, x};
    EXPECT_NEAR(fast().log_sum_exp(pair.data(), 2), std::log(1 + std::exp(static_cast<double>(x))), 1e-6);
  }
}

TEST_P(EveryTarget, NarrowMatricesGiveTheBitsOfTheFloatMatrixThatHoldsTheirValues) {
  const std::size_t out = 85, in = 128, group = 64, rows = 9;  // six panels, the last one not full
  const std::vector<float> weights = RandomFloats("w", out * in), x = RandomFloats("x", rows * in),
                           bias = RandomFloats("b", out);
  std::vector<std::int8_t> codes(out * in);
  Random random(5, "codes");
  for (std::int8_t& code : codes) code = static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1);
  std::vector<float> scales = RandomFloats("s", out * in / group);
  for (float& scale : scales) scale = RoundToHalf(scale);
  const PackedMatrix matrices[] = {PackedMatrix::Pack(weights, out, in, WeightType::kBFloat16),
                                   PackedMatrix::Pack(weights, out, in, WeightType::kInt8),
                                   PackedMatrix::PackTernary(codes, scales, out, in, group),
                                   PackedMatrix::Pack(weights, out, in, WeightType::kFloat16),
                                   PackedMatrix::Pack(weights, out, in, WeightType::kInt4),
                                   PackedMatrix::Pack(weights, out, in, WeightType::kInt4Minimum)};
  for (const PackedMatrix& narrow : matrices) {
    std::vector<float> widened(out * in);
    for (std::size_t row = 0; row < out; ++row) narrow.Row(row, widened.data() + row * in);
    const PackedMatrix wide = PackedMatrix::Pack(widened, out, in, WeightType::kFloat32);
    for (const std::size_t count : {std::size_t{1}, rows}) {
      std::vector<float> expected(count * out), actual(count * out);
      wide.Multiply(x.data(), count, bias, expected.data());
      narrow.Multiply(x.data(), count, bias, actual.data());
      EXPECT_EQ(actual, expected) << static_cast<int>(narrow.type()) << " " << count;
    }
  }
  std::vector<float> row(in);
  matrices[2].Row(36, row.data());
  for (std::size_t k = 0; k < in; ++k)
    EXPECT_EQ(row[k], scales[36 * 2 + k / group] * static_cast<float>(codes[36 * in + k]));
  matrices[0].Row(3, row.data());
  for (std::size_t k = 0; k < in; ++k)
    EXPECT_EQ(row[k], BFloat16ToFloat(FloatToBFloat16(weights[3 * in + k])));
}

// The rows of a file are held without loss, whatever their type; K-quants are widened.
TEST_P(EveryTarget, StoredRowsKeepTheValuesOfTheirType) {
  const std::size_t out = 19, in = 256;
  const std::vector<float> weights = RandomFloats("w", out * in);
  for (const io::BlockType type :
       {io::BlockType::kF32, io::BlockType::kF16, io::BlockType::kBF16, io::BlockType::kQ8_0,
        io::BlockType::kQ4_0, io::BlockType::kQ4_1, io::BlockType::kQ5_1, io::BlockType::kTQ2_0}) {
    const std::size_t row_bytes = io::RowBytes(type, in);
    std::vector<std::byte> bytes(out * row_bytes);
    io::EncodeBlocks(type, weights, bytes);
    if (type == io::BlockType::kQ8_0)
      bytes[0] = std::byte{1};  // a scale that rounding the values again would not find
    PackedMatrix matrix = PackedMatrix::Empty(PackedMatrix::HeldAs(type), out, in);
    matrix.PutRows(type, 0, out, [&](std::size_t row) {
      return std::span<const std::byte>(bytes).subspan(row * row_bytes, row_bytes);
    });
    std::vector<float> expected(out * in), actual(in), unit(in), y(out);
    io::DecodeBlocks(type, bytes, expected);
    for (std::size_t row = 0; row < out; ++row) {
      matrix.Row(row, actual.data());
      ASSERT_TRUE(
          std::equal(actual.begin(), actual.end(), expected.begin() + static_cast<std::ptrdiff_t>(row * in)))
          << io::Info(type).name << " " << row;
    }
    unit[77] = 1;  // picks column 77 of every row
    matrix.Multiply(unit.data(), 1, {}, y.data());
    for (std::size_t row = 0; row < out; ++row)
      ASSERT_EQ(y[row], expected[row * in + 77]) << io::Info(type).name;
  }
}

// |sum - exact| <= depth * 2^-24 * sum|x w|, the bound of a chain of fused multiply-adds.
TEST_P(EveryTarget, MultiplyIsWithinTheErrorBoundOfDoublePrecision) {
  const std::size_t out = 50, in = 333, rows = 200;
  const std::vector<float> weights = RandomFloats("w", out * in), x = RandomFloats("x", rows * in);
  std::vector<float> y(rows * out);
  PackedMatrix::Pack(weights, out, in, WeightType::kFloat32).Multiply(x.data(), rows, {}, y.data());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t o = 0; o < out; ++o) {
      double exact = 0, magnitude = 0;
      for (std::size_t k = 0; k < in; ++k) {
        const double product = double{x[r * in + k]} * double{weights[o * in + k]};
        exact += product;
        magnitude += std::abs(product);
      }
      ASSERT_NEAR(y[r * out + o], exact, static_cast<double>(in) * 0x1p-24 * magnitude);
    }
}

}  // namespace
}  // namespace forge::runtime
