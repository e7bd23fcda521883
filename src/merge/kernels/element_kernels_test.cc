// SPDX-License-Identifier: Apache-2.0
#include "merge/kernels/element_kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "base/cpu_features.h"
#include "base/philox.h"

namespace forge::merge {
namespace {

std::vector<float> Values(std::size_t size, std::uint64_t seed) {
  std::vector<float> values(size);
  Random random(seed, "element_kernels_test");
  for (float& value : values) value = random.Uniform() < 0.1 ? 0.0f : static_cast<float>(random.Normal());
  return values;
}

std::vector<const ElementKernels*> Tables() {
  std::vector<const ElementKernels*> tables;
  for (const CpuTarget target : SupportedTargets()) {
    SetTargetForTest(target);
    tables.push_back(&Elements());
  }
  SetTargetForTest(SupportedTargets().back());
  return tables;
}

/// Everything that the loops give for arrays of this size, as bits.
std::vector<std::uint64_t> AllResults(const ElementKernels& kernels, std::size_t size) {
  std::vector<std::uint64_t> bits;
  const std::vector<float> base = Values(size, 1), a = Values(size, 2), b = Values(size, 3),
                           c = Values(size, 4);
  const float* inputs[] = {a.data(), b.data(), c.data()};
  const float weights[] = {0.7f, -0.4f, 1.3f}, shares[] = {0.7f, 0.4f, 1.3f};
  std::vector<float> out(size);
  const auto keep = [&] {
    for (const float value : out) bits.push_back(std::bit_cast<std::uint32_t>(value));
  };
  kernels.combine(inputs, weights, 3, size, out.data()), keep();
  kernels.combine_changes(base.data(), inputs, weights, 3, size, out.data()), keep();
  kernels.add_changes(base.data(), inputs, weights, 3, size, out.data()), keep();
  kernels.subtract(a.data(), b.data(), size, out.data()), keep();
  kernels.vote(base.data(), inputs, weights, shares, 3, 0.9f, size, out.data()), keep();
  kernels.vote(base.data(), inputs, weights, nullptr, 3, 0.9f, size, out.data()), keep();
  const CodeRange range{std::bit_cast<std::uint32_t>(0.3f), std::bit_cast<std::uint32_t>(1.1f)};
  kernels.keep_range(a.data(), size, range, out.data()), keep();
  bits.push_back(std::bit_cast<std::uint64_t>(kernels.dot(a.data(), b.data(), size)));
  bits.push_back(std::bit_cast<std::uint64_t>(kernels.sum_abs(a.data(), size)));
  bits.push_back(kernels.count_range(a.data(), size, range));
  std::vector<std::uint32_t> codes(size + 1);
  std::size_t above = 5;
  codes.resize(kernels.select_range(a.data(), size, range, codes.data(), &above));
  bits.insert(bits.end(), codes.begin(), codes.end());
  bits.push_back(above);
  const std::size_t groups = size / 64 + 1;
  std::vector<std::uint32_t> words(groups * 64), thresholds(groups * 64, 1u << 30);
  const std::uint32_t rest[] = {1, 2, 3}, key[] = {4, 5};
  kernels.philox(rest, key, 100, groups, words.data());
  bits.insert(bits.end(), words.begin(), words.end());
  std::vector<std::uint64_t> kept(groups);
  kernels.below(words.data(), 1u << 31, size, kept.data());
  bits.insert(bits.end(), kept.begin(), kept.end());
  kernels.keep_bits(a.data(), size, kept.data(), out.data()), keep();
  kernels.below_each(words.data(), thresholds.data(), size, kept.data());
  bits.insert(bits.end(), kept.begin(), kept.end());
  return bits;
}

TEST(ElementKernels, GiveTheBitsOfTheScalarOnesOnEveryTargetAndSize) {
  for (const std::size_t size : {0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 1000})
    for (const ElementKernels* table : Tables())
      EXPECT_EQ(AllResults(*table, size), AllResults(ScalarElementKernels(), size)) << size;
}

// Changes 1, 2, -4 with weights 1, 1, 0.5: weighted 1, 2, -2, sum 1, so + wins: (1 + 2) / (1 + 1) = 1.5.
TEST(ElementKernels, VoteAsWorkedByHand) {
  const float base = 10, a = 1, b = 2, c = -4, weights[] = {1, 1, 0.5f};
  const float* changes[] = {&a, &b, &c};
  float out = 0;
  for (const ElementKernels* table : Tables()) {
    table->vote(&base, changes, weights, weights, 3, 1, 1, &out);
    EXPECT_EQ(out, 11.5f);
    table->vote(&base, changes, weights, nullptr, 3, 0.5f, 1, &out);
    EXPECT_EQ(out, 11.5f);  // 10 + 0.5 * 3
  }
}

TEST(ElementKernels, MakeTheRandomWordsOfPhilox) {
  std::vector<std::uint32_t> words(128);
  const std::uint32_t rest[] = {11, 12, 13}, key[] = {21, 22};
  Elements().philox(rest, key, 1000, 2, words.data());
  for (std::size_t e = 0; e < words.size(); ++e) {
    const auto block = static_cast<std::uint32_t>(1000 + e / 64 * 16 + e % 16);
    EXPECT_EQ(words[e], Philox4x32({block, 11, 12, 13}, {21, 22})[e % 64 / 16]);
  }
}

TEST(ElementKernels, KeepTheBitsThatAreBelowTheThreshold) {
  std::vector<std::uint32_t> words(128);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint32_t>(i * 37 % 128);
  std::uint64_t bits[2];
  Elements().below(words.data(), 50, 128, bits);
  for (std::size_t i = 0; i < words.size(); ++i)
    EXPECT_EQ(bits[i / 64] >> (i % 64) & 1, words[i] < 50 ? 1u : 0u) << i;
}

}  // namespace
}  // namespace forge::merge
