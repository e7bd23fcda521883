// SPDX-License-Identifier: Apache-2.0
#include "io/k_quant_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/float16.h"
#include "base/philox.h"
#include "io/gguf_blocks.h"

namespace forge::io {
namespace {

constexpr std::size_t kBlocks = 16;

struct Type {
  BlockType type;
  KQuantFormat format;
};
constexpr Type kTypes[] = {{BlockType::kQ2_K, kFormatQ2_K},
                           {BlockType::kQ3_K, kFormatQ3_K},
                           {BlockType::kQ4_K, kFormatQ4_K},
                           {BlockType::kQ5_K, kFormatQ5_K},
                           {BlockType::kQ6_K, kFormatQ6_K}};

/// Sums of four numbers of a linear congruential generator: a bell that any language can make again.
std::vector<float> Bell() {
  std::vector<float> values;
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < kBlocks * 256; ++i) {
    double sum = -2;
    for (int k = 0; k < 4; ++k) {
      state = state * 1664525u + 1013904223u;
      sum += static_cast<double>(state >> 8) / 16777216;
    }
    values.push_back(static_cast<float>(sum * 0.05));
  }
  return values;
}
std::vector<float> WithOutliers() {
  std::vector<float> values = Bell();
  for (std::size_t i = 0; i < values.size(); i += 37) values[i] *= 40;
  return values;
}
std::vector<float> OneSided() {
  std::vector<float> values = Bell();
  for (float& value : values) value += 0.3f;
  return values;
}
std::vector<float> Importance() {
  std::vector<float> importance;
  for (int i = 0; i < 256; ++i) importance.push_back(static_cast<float>((1 + i % 7) * (1 + i % 7)));
  return importance;
}

std::vector<float> Decoded(BlockType type, std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / Info(type).bytes * 256);
  DecodeBlocks(type, bytes, values);
  return values;
}

/// sum h (value - decoded)^2 / sum h value^2
double RelativeError(BlockType type, const std::vector<float>& values, std::span<const std::byte> bytes,
                     const std::vector<float>& importance) {
  const std::vector<float> decoded = Decoded(type, bytes);
  double error = 0, power = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double h = importance.empty() ? 1 : importance[i % importance.size()];
    error += h * (double{values[i]} - decoded[i]) * (double{values[i]} - decoded[i]);
    power += h * double{values[i]} * values[i];
  }
  return error / power;
}

TEST(KQuantBlocks, UnpackToWhatWasPacked) {
  Random random(3, "k_quant_fit_test");
  for (const Type& t : kTypes) {
    for (int trial = 0; trial < 20; ++trial) {
      KQuantBlock block;
      block.d = RoundToHalf(static_cast<float>(random.Uniform()));
      if (t.format.most_least > 0) block.e = RoundToHalf(static_cast<float>(random.Uniform()));
      for (std::size_t g = 0; g < static_cast<std::size_t>(t.format.groups()); ++g) {
        const int scales = t.format.most_scale - t.format.lowest_scale + 1;
        block.scale[g] = static_cast<std::int16_t>(
            t.format.lowest_scale + static_cast<int>(random.Below(static_cast<std::uint64_t>(scales))));
        block.least[g] =
            static_cast<std::int16_t>(random.Below(static_cast<std::uint64_t>(t.format.most_least) + 1));
      }
      for (std::uint8_t& code : block.code)
        code = static_cast<std::uint8_t>(random.Below(static_cast<std::uint64_t>(t.format.codes)));
      std::vector<std::byte> bytes(Info(t.type).bytes, std::byte{0xAA});
      t.format.pack(block, reinterpret_cast<std::uint8_t*>(bytes.data()));
      const std::vector<float> values = Decoded(t.type, bytes);
      for (int i = 0; i < 256; ++i)
        ASSERT_EQ(values[static_cast<std::size_t>(i)],
                  t.format.Value(block, i / t.format.group, block.code[static_cast<std::size_t>(i)]))
            << Info(t.type).name << " at " << i;
    }
  }
}

// The errors are those of ggml_quantize_chunk of llama-cpp-python's ggml 0.25.3 on the same samples, without
// importance and with that of Importance(), of Q2_K to Q6_K.
TEST(KQuantFit, IsNeverWorseThanGgmlsQuantizer) {
  struct Case {
    const char* name;
    std::vector<float> values;
    double plain[5], weighted[5];
  };
  const Case cases[] = {
      {"bell",
       Bell(),
       {8.0549e-02, 2.1089e-02, 4.7736e-03, 1.2113e-03, 2.9740e-04},
       {5.5309e-02, 1.7046e-02, 4.2044e-03, 1.0309e-03, 2.5005e-04}},
      {"outliers",
       WithOutliers(),
       {4.6634e-02, 7.6328e-03, 7.6985e-03, 2.5857e-03, 1.1351e-03},
       {3.2425e-02, 7.3804e-03, 6.6409e-03, 2.2370e-03, 9.8583e-04}},
      {"one-sided",
       OneSided(),
       {8.0902e-03, 6.5131e-03, 4.2176e-04, 1.0406e-04, 8.1176e-05},
       {7.4122e-03, 4.4179e-03, 3.9187e-04, 9.4873e-05, 7.2982e-05}},
  };
  for (const Case& c : cases)
    for (std::size_t i = 0; i < 5; ++i) {
      const BlockType type = kTypes[i].type;
      std::vector<std::byte> bytes(RowBytes(type, c.values.size()));
      EncodeBlocks(type, c.values, bytes);
      EXPECT_LT(RelativeError(type, c.values, bytes, {}), c.plain[i]) << c.name << " " << Info(type).name;
      EncodeWeighted(type, c.values, Importance(), bytes);
      EXPECT_LT(RelativeError(type, c.values, bytes, Importance()), c.weighted[i])
          << c.name << " " << Info(type).name << ", weighted";
    }
}

/// The error of one group with the nearest of all codes, by trying each.
double GroupError(const KQuantFormat& format, const KQuantBlock& block, int g, const float* values) {
  double error = 0;
  for (int i = g * format.group; i < (g + 1) * format.group; ++i) {
    double nearest = HUGE_VAL;
    for (int code = 0; code < format.codes; ++code)
      nearest = std::min(nearest, std::fabs(double{values[i]} - format.Value(block, g, code)));
    error += nearest * nearest;
  }
  return error;
}

TEST(KQuantFit, IsNearTheBestOfAllIntegersOfEveryGroup) {
  const std::vector<float> values = WithOutliers();
  for (const Type& t : kTypes) {
    double fitted = 0, best = 0;
    const std::size_t blocks = t.format.codes > 16 ? 1 : 3;
    for (std::size_t b = 0; b < blocks; ++b) {
      const float* x = values.data() + 256 * b;
      KQuantBlock block = FitKQuant(t.format, x, nullptr);
      for (int g = 0; g < t.format.groups(); ++g) {
        const KQuantBlock before = block;
        double least = HUGE_VAL, now = 0;
        for (int i = g * t.format.group; i < (g + 1) * t.format.group; ++i) {
          const double rest =
              double{x[i]} - t.format.Value(block, g, block.code[static_cast<std::size_t>(i)]);
          now += rest * rest;
        }
        EXPECT_NEAR(now, GroupError(t.format, block, g, x), 1e-6 * now) << "a code is not the nearest";
        for (int scale = t.format.lowest_scale; scale <= t.format.most_scale; ++scale)
          for (int m = 0; m <= t.format.most_least; ++m) {
            block.scale[static_cast<std::size_t>(g)] = static_cast<std::int16_t>(scale);
            block.least[static_cast<std::size_t>(g)] = static_cast<std::int16_t>(m);
            least = std::min(least, GroupError(t.format, block, g, x));
          }
        block = before;
        fitted += now;
        best += least;
      }
    }
    EXPECT_LT(fitted, 1.02 * best) << Info(t.type).name;
  }
}

TEST(KQuantFit, LeavesColumnsOfNoImportanceToTheOthers) {
  const std::vector<float> values = WithOutliers();
  std::vector<float> importance(256, 1);
  for (std::size_t i = 0; i < 256; i += 2) importance[i] = 0;
  for (const Type& t : kTypes) {
    std::vector<std::byte> plain(RowBytes(t.type, values.size())), weighted(plain.size());
    EncodeBlocks(t.type, values, plain);
    EncodeWeighted(t.type, values, importance, weighted);
    EXPECT_LT(RelativeError(t.type, values, weighted, importance),
              0.8 * RelativeError(t.type, values, plain, importance))
        << Info(t.type).name;
    EXPECT_GT(RelativeError(t.type, values, weighted, {}), RelativeError(t.type, values, plain, {}));
    const std::vector<float> none(256, 0), huge(256, 1e30f);  // all the same, whatever it is
    for (const std::vector<float>& same : {none, huge}) {
      EncodeWeighted(t.type, values, same, weighted);
      EXPECT_EQ(weighted, plain) << Info(t.type).name;
    }
  }
}

TEST(KQuantFit, StoresZerosConstantsAndWhatIsTooLarge) {
  for (const Type& t : kTypes) {
    const auto through = [&](const std::vector<float>& values) {
      std::vector<std::byte> bytes(Info(t.type).bytes);
      EncodeBlocks(t.type, values, bytes);
      return Decoded(t.type, bytes);
    };
    for (const float value : through(std::vector<float>(256, 0))) EXPECT_EQ(value, 0);
    for (const float value : through(std::vector<float>(256, 1e-43f))) EXPECT_EQ(value, 0);
    for (const float constant : {-0.37f, 0.37f, 60000.0f, -60000.0f})
      for (const float value : through(std::vector<float>(256, constant)))
        EXPECT_NEAR(value / constant, 1, 1e-3) << Info(t.type).name << " " << constant;
    std::vector<float> huge(256, 1e-3f);
    huge[100] = 3e38f;
    for (const float value : through(huge)) EXPECT_TRUE(std::isfinite(value)) << Info(t.type).name;
    const int highest = t.format.codes - 1 - t.format.zero;
    const float most = 65504.0f * static_cast<float>(t.format.most_scale * highest);
    huge[100] = 1.3f * most;
    EXPECT_GT(through(huge)[100], 0.99f * most) << Info(t.type).name;
  }
}

}  // namespace
}  // namespace forge::io
