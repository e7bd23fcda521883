// SPDX-License-Identifier: Apache-2.0
// A mapped file's codes are not looked at before they are multiplied: damaged ones give wrong values, no
// more. What this could break shows under AddressSanitizer (preset asan).
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "runtime/ternary/best_rows.h"
#include "runtime/ternary/code_kernels.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kOut = 1024, kIn = 512;  // rows enough for tables

class CodeDamageTest : public testing::TestWithParam<std::tuple<CpuTarget, CodeLayout>> {
 protected:
  void SetUp() override { SetTargetForTest(std::get<0>(GetParam())); }
  void TearDown() override { SetTargetForTest(SupportedTargets().back()); }

  /// All codes are bytes of `value`, all scales 1.
  static CodeMatrix Damaged(std::uint8_t value) {
    const CodeLayout layout = std::get<1>(GetParam());
    const bool is_ternary = IsTernary(layout);
    const CodeShape shape{layout, kOut, kIn, is_ternary ? 256u : 32u, is_ternary ? 256u : 32u, 1};
    EXPECT_TRUE(CodeMatrix::CanHold(shape));
    const std::size_t bytes = CodeMatrix::BytesOf(shape);
    const std::shared_ptr<std::byte> memory(
        static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), std::free);
    std::memset(memory.get(), value, bytes);
    CodeMatrix matrix = CodeMatrix::View(shape, memory);
    const std::uint16_t one = FloatToHalf(1);
    const CodePanels& panels = matrix.code_panels();
    for (std::size_t panel = 0; panel < kOut / kCodeRows; ++panel)
      for (std::size_t block = 0; block < panels.blocks(); ++block)
        for (std::size_t row = 0; row < kCodeRows; ++row)
          std::memcpy(memory.get() + (panels.Scales(panel, block) - panels.data) + 2 * row, &one, 2);
    return matrix;
  }
};

std::string NameOf(const testing::TestParamInfo<CodeDamageTest::ParamType>& param_info) {
  constexpr std::array<const char*, kCodeLayouts> kNames = {"TwoBit", "Base3",  "Int4",
                                                            "Int8",   "Halves", "Base27"};
  return std::string(Name(std::get<0>(param_info.param))) + "_" +
         kNames[static_cast<std::size_t>(std::get<1>(param_info.param))];
}

INSTANTIATE_TEST_SUITE_P(Layouts, CodeDamageTest,
                         testing::Combine(testing::ValuesIn(SupportedTargets()),
                                          testing::Values(CodeLayout::kTwoBit, CodeLayout::kBase3,
                                                          CodeLayout::kInt4, CodeLayout::kInt8,
                                                          CodeLayout::kHalves, CodeLayout::kBase27)),
                         NameOf);

TEST_P(CodeDamageTest, EveryByteGivesANumberForOneTokenAndForMany) {
  for (const std::uint8_t value : {0x00, 0x55, 0xaa, 0xf2, 0xf3, 0xfd, 0xff}) {
    const CodeMatrix matrix = Damaged(value);
    for (const std::size_t tokens : {1u, 5u, 16u, 64u}) {
      Int8Rows x = matrix.RoomFor(tokens);
      x.Quantize(std::vector<float>(tokens * kIn, 1.0f).data());
      std::vector<float> y(tokens * kOut, std::nanf(""));
      matrix.Multiply(x, {}, y.data());
      // The largest code any byte can stand for is 255; the activations are 1.
      for (const float sum : y) EXPECT_LE(std::fabs(sum), 256.0f * kIn) << int{value};
      if (matrix.layout() != CodeLayout::kHalves || (tokens > 1 && !CanBoundMany(matrix))) continue;
      for (const std::optional<BestRow>& best :
           FindBestRows(matrix, x, std::vector<std::span<const int>>(tokens)))
        EXPECT_LT(best->row, kOut);
    }
  }
}

}  // namespace
}  // namespace forge::runtime
