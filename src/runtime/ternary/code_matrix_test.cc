// SPDX-License-Identifier: Apache-2.0
// Integer weights x int8 activations against a product written out from its definition, to the bit: every
// target, layout, number of tokens and of threads.
#include "runtime/ternary/code_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "base/philox.h"
#include "runtime/kernels/kernel_table.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

std::vector<float> RandomFloats(std::string_view name, std::size_t count) {
  Random random(3, name, count);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

/// Rows of activations, each block another size, some of zeros.
std::vector<float> Activations(std::size_t rows, std::size_t in) {
  std::vector<float> x = RandomFloats("x", rows * in);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<float>(i / 64 % 7);
  return x;
}

/// y = x W^T + b as code_matrix.h defines it, with the activations quantised here.
///   weights [out, in] integers, scales [out, in / group]
std::vector<float> Expected(const std::vector<int>& weights, const std::vector<float>& scales, std::size_t in,
                            std::size_t group, std::size_t block, const std::vector<float>& x,
                            const std::vector<float>& bias) {
  const std::size_t out = weights.size() / in, rows = x.size() / in, groups = (in + group - 1) / group;
  std::vector<float> y(rows * out);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t o = 0; o < out; ++o) {
      float sum = 0;
      for (std::size_t start = 0; start < in; start += block) {
        const std::size_t end = std::min(in, start + block);
        float most = 0;
        for (std::size_t k = start; k < end; ++k) most = std::max(most, std::fabs(x[row * in + k]));
        std::int64_t dot = 0;
        for (std::size_t k = start; k < end && most > 0; ++k)
          dot += weights[o * in + k] * std::lrint(x[row * in + k] * (127.0f / most));
        sum = std::fma(static_cast<float>(dot), scales[o * groups + start / group] * (most / 127.0f), sum);
      }
      y[row * out + o] = bias.empty() ? sum : sum + bias[o];
    }
  return y;
}

struct Ternary {
  std::vector<std::int8_t> codes;
  std::vector<int> weights;
  std::vector<float> scales;
};

Ternary RandomTernary(std::size_t out, std::size_t in, std::size_t group) {
  Random random(5, "ternary", out * in);
  Ternary ternary;
  for (std::size_t i = 0; i < out * in; ++i) {
    ternary.codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
    ternary.weights.push_back(ternary.codes.back());
  }
  for (std::size_t i = 0; i < out * (in / group); ++i)
    ternary.scales.push_back(RoundToHalf(0.01f + 0.001f * static_cast<float>(random.Below(100))));
  return ternary;
}

std::vector<float> Product(const CodeMatrix& matrix, const std::vector<float>& x,
                           const std::vector<float>& bias) {
  Int8Rows rows = matrix.RoomFor(x.size() / matrix.in());
  rows.Quantize(x.data());
  std::vector<float> y(rows.rows() * matrix.out(), -7.0f);
  matrix.Multiply(rows, bias, y.data());
  return y;
}

class CodeMatrixTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override { SetTargetForTest(GetParam()); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }
  WeightArena arena_;
};

INSTANTIATE_TEST_SUITE_P(Targets, CodeMatrixTest, testing::ValuesIn(SupportedTargets()),
                         [](const auto& param_info) { return std::string(Name(param_info.param)); });

TEST_P(CodeMatrixTest, TernaryProductsEqualTheDefinitionForAllShapesLayoutsAndBatches) {
  struct Shape {
    std::size_t out, in, group;
  };
  for (const Shape shape :
       {Shape{1, 64, 64}, Shape{33, 128, 64}, Shape{40, 256, 128}, Shape{96, 512, 256}, Shape{31, 576, 192},
        Shape{65, 1024, 512}, Shape{7, 576, 576}, Shape{5, 37, 37}, Shape{34, 300, 300}, Shape{9, 448, 448},
        Shape{3, 1, 1}, Shape{32, 100, 100}, Shape{8, 530, 530}}) {
    const Ternary ternary = RandomTernary(shape.out, shape.in, shape.group);
    const std::vector<float> bias = RandomFloats("bias", shape.out);
    const std::size_t block = CodeMatrix::TernaryBlock(shape.in, shape.group);
    for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase3, CodeLayout::kBase27}) {
      const CodeMatrix matrix = CodeMatrix::PackTernary(ternary.codes, ternary.scales, shape.out, shape.in,
                                                        shape.group, layout, arena_);
      for (const std::size_t rows : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 11u, 12u, 13u, 16u, 24u, 32u, 33u, 101u}) {
        if (rows > 33 && shape.in > 100) continue;
        const std::vector<float> x = Activations(rows, shape.in);
        EXPECT_EQ(Product(matrix, x, bias),
                  Expected(ternary.weights, ternary.scales, shape.in, shape.group, block, x, bias))
            << shape.out << " x " << shape.in << " by " << shape.group << ", " << rows << " tokens, layout "
            << static_cast<int>(layout);
      }
    }
  }
}

/// Enough rows for tables of sums, where the target has such kernels, on four threads.
TEST_P(CodeMatrixTest, ProductsOfManyRowsWithManyTokensEqualTheDefinition) {
  struct Shape {
    std::size_t out, in, group;
  };
  for (const Shape shape :
       {Shape{1061, 37, 37}, Shape{1030, 64, 64}, Shape{1024, 300, 300}, Shape{2100, 100, 100},
        Shape{1025, 576, 192}, Shape{1040, 530, 530}, Shape{1056, 256, 128}, Shape{1050, 512, 256}}) {
    const Ternary ternary = RandomTernary(shape.out, shape.in, shape.group);
    const std::vector<float> bias = RandomFloats("bias", shape.out);
    const std::size_t block = CodeMatrix::TernaryBlock(shape.in, shape.group);
    for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase3, CodeLayout::kBase27}) {
      const CodeMatrix matrix = CodeMatrix::PackTernary(ternary.codes, ternary.scales, shape.out, shape.in,
                                                        shape.group, layout, arena_);
      for (const std::size_t rows : {8u, 16u, 17u, 51u, 83u}) {
        if (rows > 51 && shape.in > 100) continue;
        const std::vector<float> x = Activations(rows, shape.in);
        EXPECT_EQ(Product(matrix, x, bias),
                  Expected(ternary.weights, ternary.scales, shape.in, shape.group, block, x, bias))
            << shape.out << " x " << shape.in << " by " << shape.group << ", " << rows << " tokens, layout "
            << static_cast<int>(layout);
      }
    }
  }
}

/// Two planes are one matrix of twice the inputs, which come twice.
TEST_P(CodeMatrixTest, TwoPlanesEqualTheirSumBlockByBlock) {
  struct Shape {
    std::size_t out, in, group;
  };
  for (const Shape shape : {Shape{70, 64, 64}, Shape{33, 192, 64}, Shape{96, 512, 256}, Shape{40, 576, 192},
                            Shape{1056, 128, 64}}) {
    const std::size_t groups = shape.in / shape.group, all = shape.out * shape.in;
    const Ternary both = RandomTernary(shape.out, 2 * shape.in, shape.group);
    Ternary planes[2];
    for (std::size_t o = 0; o < shape.out; ++o)
      for (std::size_t p = 0; p < 2; ++p) {
        const auto codes = both.codes.begin() + static_cast<std::ptrdiff_t>((2 * o + p) * shape.in);
        const auto scales = both.scales.begin() + static_cast<std::ptrdiff_t>((2 * o + p) * groups);
        planes[p].codes.insert(planes[p].codes.end(), codes, codes + static_cast<std::ptrdiff_t>(shape.in));
        planes[p].scales.insert(planes[p].scales.end(), scales, scales + static_cast<std::ptrdiff_t>(groups));
      }
    ASSERT_EQ(planes[1].codes.size(), all);
    for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase3}) {
      const CodeMatrix matrix =
          CodeMatrix::PackTwoPlanes({planes[0].codes, planes[0].scales}, {planes[1].codes, planes[1].scales},
                                    shape.out, shape.in, shape.group, layout, arena_);
      EXPECT_EQ(matrix.in(), shape.in);
      for (const std::size_t rows : {1u, 2u, 5u, 12u, 16u, 33u}) {
        const std::vector<float> x = Activations(rows, shape.in);
        std::vector<float> twice;
        for (std::size_t row = 0; row < rows; ++row)
          for (int p = 0; p < 2; ++p) {
            const auto first = x.begin() + static_cast<std::ptrdiff_t>(row * shape.in);
            twice.insert(twice.end(), first, first + static_cast<std::ptrdiff_t>(shape.in));
          }
        EXPECT_EQ(Product(matrix, x, {}),
                  Expected(both.weights, both.scales, 2 * shape.in, shape.group, matrix.block(), twice, {}))
            << shape.out << " x " << shape.in << " by " << shape.group << ", " << rows << " tokens, layout "
            << static_cast<int>(layout);
      }
    }
  }
}

TEST_P(CodeMatrixTest, TernaryRowsComeBackAsTheyWere) {
  for (const std::size_t in : {256u, 128u, 300u}) {
    const std::size_t group = in == 256 ? 128 : in;
    const Ternary ternary = RandomTernary(35, in, group);
    for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase3, CodeLayout::kBase27}) {
      const CodeMatrix matrix =
          CodeMatrix::PackTernary(ternary.codes, ternary.scales, 35, in, group, layout, arena_);
      std::vector<float> row(in);
      for (std::size_t o = 0; o < 35; ++o) {
        matrix.Row(o, row.data());
        for (std::size_t k = 0; k < in; ++k)
          ASSERT_EQ(row[k], ternary.scales[o * (in / group) + k / group] *
                                static_cast<float>(ternary.weights[o * in + k]));
      }
    }
  }
}

TEST_P(CodeMatrixTest, StoredBlocksEqualTheDefinitionAndTheirDecodedRows) {
  struct Form {
    io::BlockType stored;
    bool is_halves;
  };
  for (const auto& [stored, is_halves] : {Form{io::BlockType::kQ8_0, false}, Form{io::BlockType::kQ8_0, true},
                                          Form{io::BlockType::kQ4_0, false}})
    for (const std::size_t in : {32u, 64u, 96u, 320u, 544u}) {
      const std::size_t out = 37, groups = in / 32, bytes_of_block = io::Info(stored).bytes;
      // Random bytes: every code is met, also -128, which quantisers do not write.
      Random random(9, "blocks", in);
      std::vector<std::byte> bytes(out * io::RowBytes(stored, in));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Below(256));
      std::vector<int> weights;
      std::vector<float> scales;
      for (std::size_t block = 0; block < out * groups; ++block) {
        std::byte* start = bytes.data() + block * bytes_of_block;
        const std::uint16_t scale = FloatToHalf(0.01f * static_cast<float>(block % 9 + 1));
        std::memcpy(start, &scale, 2);
        scales.push_back(HalfToFloat(scale));
        for (std::size_t k = 0; k < 32; ++k)
          weights.push_back(stored == io::BlockType::kQ8_0
                                ? static_cast<std::int8_t>(start[2 + k])
                                : (std::to_integer<int>(start[2 + k % 16]) >> (4 * (k / 16)) & 15) - 8);
      }
      CodeMatrix matrix =
          is_halves ? CodeMatrix::EmptyHalves(out, in, arena_) : CodeMatrix::Empty(stored, out, in, arena_);
      const std::size_t row_bytes = io::RowBytes(stored, in);
      const auto row_of = [&](std::size_t row) {
        return std::span<const std::byte>(bytes).subspan(row * row_bytes, row_bytes);
      };
      matrix.PutRows(0, 20, row_of);
      matrix.PutRows(20, out - 20, [&](std::size_t row) { return row_of(20 + row); });
      for (const std::size_t rows : {1u, 2u, 4u, 6u, 13u, 16u, 32u}) {
        const std::vector<float> x = Activations(rows, in);
        EXPECT_EQ(Product(matrix, x, {}), Expected(weights, scales, in, 32, 32, x, {}))
            << io::Info(stored).name << (is_halves ? " in halves " : " ") << in << ", " << rows << " tokens";
      }
      std::vector<float> row(in), decoded(in);
      for (std::size_t o = 0; o < out; ++o) {
        matrix.Row(o, row.data());
        io::DecodeBlocks(stored, row_of(o), decoded);
        EXPECT_EQ(row, decoded);
      }
    }
}

/// The largest sums that can come: weights of one sign against activations of one size.
TEST_P(CodeMatrixTest, LargestProductsDoNotOverflow) {
  constexpr std::size_t kOut = 1024;  // enough for tables of sums
  for (const int code : {-1, 1}) {
    const Ternary ternary{std::vector<std::int8_t>(kOut * 512, static_cast<std::int8_t>(code)),
                          std::vector<int>(kOut * 512, code), std::vector<float>(2 * kOut, 1.0f)};
    for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase3, CodeLayout::kBase27}) {
      const CodeMatrix matrix =
          CodeMatrix::PackTernary(ternary.codes, ternary.scales, kOut, 512, 256, layout, arena_);
      for (const float value : {1.0f, -1.0f})
        for (const std::size_t rows : {1u, 4u, 12u, 49u}) {
          const std::vector<float> x(rows * 512, value);
          EXPECT_EQ(Product(matrix, x, {}), Expected(ternary.weights, ternary.scales, 512, 256, 256, x, {}));
        }
    }
  }
}

TEST_P(CodeMatrixTest, QuantisedCodesAreInRangeAndWithinHalfAStep) {
  Random random(17, "ranges");
  for (int round = 0; round < 300; ++round) {
    const std::size_t size = 1 + random.Below(600), block = 32u << random.Below(4);
    std::vector<float> x(size);
    const float scale = std::ldexp(1.0f, static_cast<int>(random.Below(240)) - 148);
    for (float& value : x) value = random.Below(10) == 0 ? 0.0f : scale * static_cast<float>(random.Normal());
    Int8Rows rows;
    rows.Resize(1, size, block);
    rows.Quantize(x.data());
    const Int8Tile row = rows.Tile(0);
    std::vector<std::int8_t> codes(size);
    const std::size_t blocks = (size + block - 1) / block;
    std::vector<float> scales(blocks);
    std::vector<std::int32_t> sums(blocks);
    ScalarCodeKernels().quantize(x.data(), size, block, codes.data(), scales.data(), sums.data());
    EXPECT_EQ(std::vector(row.codes, row.codes + size), codes);
    EXPECT_EQ(std::vector(row.scales, row.scales + blocks), scales);
    EXPECT_EQ(std::vector(row.sums, row.sums + blocks), sums);
    for (std::size_t i = 0; i < size; ++i) {
      EXPECT_GE(codes[i], -127);
      if (scales[i / block] > 1e-30f) {
        EXPECT_LE(std::fabs(x[i] - scales[i / block] * codes[i]), 0.5001f * scales[i / block]);
      }
    }
    for (std::size_t i = size; i < (size + 63) / 64 * 64; ++i) EXPECT_EQ(row.codes[i], 0);
  }
}

TEST_P(CodeMatrixTest, GatedProductsEqualTheProductAndItsGateDoneApart) {
  for (const std::size_t width : {96u, 1056u}) {  // the larger one through tables where there are some
    const Ternary ternary = RandomTernary(2 * width, 256, 256);
    const CodeMatrix matrix = CodeMatrix::PackTernary(ternary.codes, ternary.scales, 2 * width, 256, 256,
                                                      CodeLayout::kBase3, arena_);
    ASSERT_TRUE(matrix.CanGate());
    for (const std::size_t rows : {1u, 2u, 5u, 12u, 17u, 50u}) {
      const std::vector<float> x = Activations(rows, 256);
      std::vector<float> both = Product(matrix, x, {}), expected, actual(rows * width, -7.0f);
      for (std::size_t row = 0; row < rows; ++row) {
        float* gate = both.data() + row * 2 * width;
        Kernels().silu_multiply(gate, gate + width, width);
        expected.insert(expected.end(), gate, gate + width);
      }
      Int8Rows quantised;
      quantised.Resize(rows, 256, matrix.block());
      quantised.Quantize(x.data());
      matrix.MultiplyGated(quantised, actual.data());
      EXPECT_EQ(actual, expected) << rows;
    }
  }
}

/// The activations of the linear behind a gate, set from its pieces: those of the floats in between.
TEST_P(CodeMatrixTest, GatedProductsAreQuantisedAsTheirFloatsAre) {
  std::size_t fused = 0;
  for (const std::size_t width : {1056u, 1152u, 1280u})
    for (const std::size_t block : {64u, 256u})
      for (const CodeLayout layout : {CodeLayout::kTwoBit, CodeLayout::kBase27}) {
        const Ternary ternary = RandomTernary(2 * width, 256, 256);
        const CodeMatrix matrix =
            CodeMatrix::PackTernary(ternary.codes, ternary.scales, 2 * width, 256, 256, layout, arena_);
        for (const std::size_t rows : {1u, 5u, 16u, 49u, 70u}) {
          const std::vector<float> x = Activations(rows, 256);
          Int8Rows quantised = matrix.RoomFor(rows), actual, expected;
          quantised.Quantize(x.data());
          actual.Resize(rows, width, block, layout);
          expected.Resize(rows, width, block, layout);
          if (!matrix.CanGateInto(quantised, actual)) continue;
          ++fused;
          std::vector<float> gated(rows * width);
          matrix.MultiplyGated(quantised, gated.data());
          expected.Quantize(gated.data());
          matrix.MultiplyGated(quantised, actual);
          for (std::size_t row = 0; row < rows; ++row) {
            const Int8Rows a = actual.Row(row), e = expected.Row(row);
            const Int8Tile one = a.Tile(0), other = e.Tile(0);
            ASSERT_EQ(std::vector(one.codes, one.codes + width),
                      std::vector(other.codes, other.codes + width))
                << width << " by " << block << ", row " << row << " of " << rows;
            ASSERT_EQ(std::vector(one.scales, one.scales + a.blocks()),
                      std::vector(other.scales, other.scales + a.blocks()));
            ASSERT_EQ(std::vector(one.sums, one.sums + a.blocks()),
                      std::vector(other.sums, other.sums + a.blocks()));
          }
        }
      }
  if (ChosenCodeKernels().tables != nullptr) {
    EXPECT_GE(fused, 12u);
  }
}

TEST_P(CodeMatrixTest, KernelsReadNothingBeyondTheirRowsScales) {
  // A row of a larger batch, in the middle: what stands beside it must not matter.
  const Ternary ternary = RandomTernary(64, 256, 64);
  const CodeMatrix matrix =
      CodeMatrix::PackTernary(ternary.codes, ternary.scales, 64, 256, 64, CodeLayout::kTwoBit, arena_);
  const std::vector<float> x = Activations(9, 256);
  const std::vector<float> all = Product(matrix, x, {});
  for (std::size_t row = 0; row < 9; ++row) {
    const std::vector<float> alone(x.begin() + static_cast<std::ptrdiff_t>(row * 256),
                                   x.begin() + static_cast<std::ptrdiff_t>((row + 1) * 256));
    EXPECT_EQ(Product(matrix, alone, {}),
              std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(row * 64),
                                 all.begin() + static_cast<std::ptrdiff_t>((row + 1) * 64)));
  }
}

}  // namespace
}  // namespace forge::runtime
