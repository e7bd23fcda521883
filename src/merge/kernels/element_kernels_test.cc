// SPDX-License-Identifier: Apache-2.0
#include "merge/kernels/element_kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "base/cpu_features.h"
#include "base/float16.h"
#include "base/philox.h"

namespace forge::merge {
namespace {

std::vector<float> SomeValues(std::size_t size, std::uint64_t seed) {
  std::vector<float> values(size);
  Random random(seed, "element_kernels_test");
  for (float& value : values) value = random.Uniform() < 0.1 ? 0.0f : static_cast<float>(random.Normal());
  return values;
}

std::vector<std::uint16_t> Halves(std::size_t size) {
  std::vector<std::uint16_t> halves(size / 64 * 64 + 64);
  Random random(5, "element_kernels_test");
  for (std::uint16_t& half : halves) half = static_cast<std::uint16_t>(random.NextUint32());
  return halves;
}

std::vector<std::uint64_t> SomeBits(std::size_t size, std::uint64_t seed) {
  std::vector<std::uint64_t> bits(size / 64 + 1);
  Random random(seed, "element_kernels_test/bits");
  for (std::uint64_t& word : bits) word = random.NextUint64();
  return bits;
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

/// The values of a model, float32 or rounded to bfloat16.
class Stored {
 public:
  Stored(const std::vector<float>& values, bool is_bfloat16) : floats_(values), is_bfloat16_(is_bfloat16) {
    if (!is_bfloat16) return;
    for (float& value : floats_) {
      halves_.push_back(FloatToBFloat16(value));
      value = BFloat16ToFloat(halves_.back());
    }
  }
  Values Get() const { return is_bfloat16_ ? Values{halves_.data(), true} : Values{floats_.data(), false}; }
  /// The same values in float32.
  Values Widened() const { return {floats_.data(), false}; }

 private:
  std::vector<float> floats_;
  std::vector<std::uint16_t> halves_;
  bool is_bfloat16_;
};

class Results {
 public:
  void Add(std::span<const float> values) {
    for (const float value : values) bits_.push_back(std::bit_cast<std::uint32_t>(value));
  }
  void Add(double value) { bits_.push_back(std::bit_cast<std::uint64_t>(value)); }
  void Add(std::size_t value) { bits_.push_back(value); }
  template <class Number>
  void Add(const std::vector<Number>& values) {
    bits_.insert(bits_.end(), values.begin(), values.end());
  }
  const std::vector<std::uint64_t>& bits() const { return bits_; }

 private:
  std::vector<std::uint64_t> bits_;
};

using Bits = std::vector<std::uint64_t>;

/// What the loops over stored values give, as bits.
Bits SourceResults(const ElementKernels& kernels, std::size_t size, bool is_bfloat16, bool widened = false) {
  Results results;
  std::vector<Stored> stored;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) stored.emplace_back(SomeValues(size, seed), is_bfloat16);
  std::vector<Values> inputs;
  for (const Stored& s : stored) inputs.push_back(widened ? s.Widened() : s.Get());
  const Values base = inputs[0];
  const float weights[] = {0.7f, -0.4f, 1.3f, 0.2f, 0.9f}, shares[] = {0.7f, 0.4f, 1.3f, 0.2f, 0.9f};
  std::vector<Bits> kept;
  std::vector<const std::uint64_t*> bits;
  for (std::uint64_t m = 0; m < 5; ++m) kept.push_back(SomeBits(size, m));
  for (const Bits& words : kept) bits.push_back(words.data());
  std::vector<float> out(size);
  for (const std::size_t models : {1, 2, 3, 4, 5}) {
    kernels.combine(inputs.data(), weights, models, size, out.data());
    results.Add(std::span<const float>(out));
    for (const std::uint64_t* const* some : {static_cast<const std::uint64_t* const*>(bits.data()),
                                             static_cast<const std::uint64_t* const*>(nullptr)}) {
      kernels.combine_changes(base, inputs.data() + 1, some, weights, models, size, out.data());
      results.Add(std::span<const float>(out));
      for (const float* divisors : {static_cast<const float*>(shares), static_cast<const float*>(nullptr)}) {
        kernels.vote(base, inputs.data() + 1, some, weights, divisors, models, 0.9f, size, out.data());
        results.Add(std::span<const float>(out));
      }
    }
    std::vector<double> sums(2 * models);
    kernels.sum_changes(base, inputs.data() + 1, bits.data(), models, size, sums.data());
    for (const double sum : sums) results.Add(sum);
  }
  kernels.subtract(inputs[1], base, size, out.data());
  results.Add(std::span<const float>(out));
  results.Add(kernels.dot(inputs[1], inputs[2], size));
  std::vector<float> squares(inputs.size());
  kernels.sum_squares(inputs.data(), inputs.size(), size, squares.data());
  results.Add(std::span<const float>(squares));
  Bits above(size / 64 + 1), equal(size / 64 + 1);
  results.Add(kernels.compare_changes({inputs[1], base}, std::bit_cast<std::uint32_t>(0.5f), size,
                                      above.data(), equal.data()));
  results.Add(above);
  results.Add(equal);
  const CodeRange range{std::bit_cast<std::uint32_t>(0.3f), std::bit_cast<std::uint32_t>(1.1f)};
  std::vector<std::uint32_t> codes(size + 16);
  std::size_t over = 5;
  codes.resize(kernels.select_changes({inputs[1], base}, range, size, codes.data(), &over));
  results.Add(codes);
  results.Add(over);
  return results.bits();
}

/// What the loops that draw and rank give.
Bits ChoiceResults(const ElementKernels& kernels, std::size_t size) {
  Results results;
  const std::size_t groups = size / 64 + 1;
  std::vector<std::uint32_t> words(groups * 64);
  const std::vector<std::uint16_t> halves = Halves(size);
  const std::vector<float> row = SomeValues(size, 2);
  std::vector<std::uint8_t> places(groups * 64);
  std::vector<std::uint32_t> counts(256), codes(size);
  std::vector<std::uint16_t> table(256);
  const std::uint32_t rest[] = {1, 2, 3}, key[] = {4, 5};
  kernels.philox(rest, key, 0xFFFFFFF0, groups, words.data());
  results.Add(words);
  Bits kept(groups);
  kernels.below(halves.data(), 1u << 15, size, kept.data());
  results.Add(kept);
  kernels.magnitude_bins({{row.data()}}, size, codes.data(), places.data(), counts.data());
  results.Add(places);
  results.Add(counts);
  if (size == 0) return results.bits();
  const float step = 20'000.0f / static_cast<float>(2 * size);
  kernels.rank_table(counts.data(), static_cast<std::uint32_t>(size), 10'000, step, table.data());
  results.Add(table);
  kernels.below_table(halves.data(), places.data(), table.data(), 10'000, 30'000, size, kept.data());
  results.Add(kept);
  return results.bits();
}

constexpr std::size_t kSizes[] = {0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 1000};

TEST(ElementKernels, GiveTheBitsOfTheScalarOnesOnEveryTargetAndSize) {
  for (const std::size_t size : kSizes)
    for (const ElementKernels* table : Tables()) {
      for (const bool is_bfloat16 : {false, true})
        EXPECT_EQ(SourceResults(*table, size, is_bfloat16),
                  SourceResults(ScalarElementKernels(), size, is_bfloat16))
            << size;
      EXPECT_EQ(ChoiceResults(*table, size), ChoiceResults(ScalarElementKernels(), size)) << size;
    }
}

TEST(ElementKernels, GiveOfBFloat16WhatTheyGiveOfItsFloats) {
  for (const std::size_t size : kSizes)
    for (const ElementKernels* table : Tables())
      EXPECT_EQ(SourceResults(*table, size, true), SourceResults(*table, size, true, /*widened=*/true))
          << size;
}

// Changes 1, 2, -4 with weights 1, 1, 0.5: weighted 1, 2, -2, sum 1, so + wins: (1 + 2) / (1 + 1) = 1.5.
// Without the second 1 - 2 is below 0: -2 / 0.5 = -4.
TEST(ElementKernels, VoteAsWorkedByHand) {
  const float base = 10, a = 11, b = 12, c = 6, weights[] = {1, 1, 0.5f};
  const Values inputs[] = {{&a}, {&b}, {&c}};
  const std::uint64_t all = 1, none = 0;
  const std::uint64_t* const bits[] = {&all, &none, &all};
  float out = 0;
  for (const ElementKernels* table : Tables()) {
    table->vote({&base}, inputs, nullptr, weights, weights, 3, 1, 1, &out);
    EXPECT_EQ(out, 11.5f);
    table->vote({&base}, inputs, nullptr, weights, nullptr, 3, 0.5f, 1, &out);
    EXPECT_EQ(out, 11.5f);  // 10 + 0.5 * 3
    table->vote({&base}, inputs, bits, weights, weights, 3, 1, 1, &out);
    EXPECT_EQ(out, 6.0f);
  }
}

// Blocks of 512 and their rests, against sums in double.
TEST(ElementKernels, SumsOfChangesAreThoseOfDoubles) {
  const std::size_t size = 5 * 512 + 37;
  std::vector<float> base(size), model(size);
  for (std::size_t i = 0; i < size; ++i) {
    base[i] = std::sin(static_cast<float>(i));
    model[i] = base[i] + 0.1f * std::cos(static_cast<float>(3 * i));
  }
  const Bits kept = SomeBits(size, 1);
  double all = 0, some = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double change = std::fabs(model[i] - base[i]);
    all += change;
    if ((kept[i / 64] >> (i % 64) & 1) != 0) some += change;
  }
  const Values input = {model.data()};
  const std::uint64_t* const bits[] = {kept.data()};
  for (const ElementKernels* table : Tables()) {
    double sums[2] = {};
    table->sum_changes({base.data()}, &input, bits, 1, size, sums);
    EXPECT_NEAR(sums[0] / all, 1, 1e-7);
    EXPECT_NEAR(sums[1] / some, 1, 1e-7);
  }
}

// Changes 1, -3, 0, 2 of which the second and the last are kept; 2 equals the threshold.
TEST(ElementKernels, SumAndCompareAsWorkedByHand) {
  const float base[] = {1, 1, 1, 1}, model[] = {2, -2, 1, 3};
  const Values input = {model};
  const std::uint64_t kept = 0b1010;
  const std::uint64_t* const bits[] = {&kept};
  for (const ElementKernels* table : Tables()) {
    double sums[2] = {};
    table->sum_changes({base}, &input, bits, 1, 4, sums);
    EXPECT_EQ(sums[0], 6.0);
    EXPECT_EQ(sums[1], 5.0);
    std::uint64_t above = 0, equal = 0;
    EXPECT_EQ(table->compare_changes({input, {base}}, std::bit_cast<std::uint32_t>(2.0f), 4, &above, &equal),
              1u);
    EXPECT_EQ(above, 0b0010u);
    EXPECT_EQ(equal, 0b1000u);
    // What fills the last vector up with zeros counts for none.
    EXPECT_EQ(table->compare_changes({input, {base}}, 0, 4, &above, &equal), 1u);
    EXPECT_EQ(above, 0b1011u);
    EXPECT_EQ(equal, 0b0100u);
    std::uint32_t codes[20];
    std::size_t over = 0;
    EXPECT_EQ(
        table->select_changes({input, {base}}, {0, std::bit_cast<std::uint32_t>(2.0f)}, 4, codes, &over), 2u);
    EXPECT_EQ(over, 2u);
  }
}

// Ten values, one in bin 0, four in bin 3, five in the last: ranks 9, 6.5 and 2.
TEST(ElementKernels, RankBinsAsWorkedByHand) {
  std::vector<std::uint32_t> counts(256);
  counts[PlaceOfBin(0)] = 1, counts[PlaceOfBin(3)] = 4, counts[PlaceOfBin(255)] = 5;
  std::vector<std::uint16_t> table(256);
  for (const ElementKernels* kernels : Tables()) {
    kernels->rank_table(counts.data(), 10, 100, 1, table.data());
    EXPECT_EQ(table[PlaceOfBin(0)], 118);
    EXPECT_EQ(table[PlaceOfBin(3)], 113);
    EXPECT_EQ(table[PlaceOfBin(17)], 109);  // of none: below the four, above the five
    EXPECT_EQ(table[PlaceOfBin(255)], 104);
  }
}

TEST(SquaredLengths, AddsOverVectorsAndBlocks) {
  const std::vector<float> threes(10'000, 3), fours(10'000, 4);
  const Values vectors[] = {{threes.data()}, {fours.data()}};
  EXPECT_EQ(SquaredLengths(vectors, 10'000), 250'000);
}

TEST(ElementKernels, MakeTheRandomWordsOfPhilox) {
  std::vector<std::uint32_t> words(128);
  const std::uint32_t rest[] = {11, 12, 13}, key[] = {21, 22};
  Elements().philox(rest, key, 1000, 2, words.data());
  for (std::size_t e = 0; e < words.size(); ++e) {
    const auto block = static_cast<std::uint32_t>(1000 + e / 64 * 16 + e % 32 / 2);
    EXPECT_EQ(words[e], Philox4x32({block, 11, 12, 13}, {21, 22})[e % 64 / 32 * 2 + e % 2]);
  }
}

TEST(ElementKernels, KeepTheBitsThatAreBelowTheThreshold) {
  std::vector<std::uint16_t> words(128);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint16_t>(i * 37 % 128);
  std::uint64_t bits[2];
  Elements().below(words.data(), 50, 128, bits);
  for (std::size_t i = 0; i < words.size(); ++i)
    EXPECT_EQ(bits[i / 64] >> (i % 64) & 1, words[i] < 50 ? 1u : 0u) << i;
}

TEST(ElementKernels, SortMagnitudesIntoBinsOfAnOctave32nd) {
  const std::vector<float> row = {1, -1,    0.5f,      0.25f,
                                  0, 0.99f, 1.0f / 300};  // from the largest: 0, 32, 64, ..
  const std::vector<std::uint32_t> bins = {0, 0, 32, 64, 255, 0, 255};
  std::vector<std::uint8_t> places(row.size());
  std::vector<std::uint32_t> counts(256), codes(row.size());
  for (const ElementKernels* table : Tables()) {
    table->magnitude_bins({{row.data()}}, row.size(), codes.data(), places.data(), counts.data());
    for (std::size_t i = 0; i < row.size(); ++i) EXPECT_EQ(places[i], PlaceOfBin(bins[i])) << i;
    EXPECT_EQ(counts[PlaceOfBin(0)], 3u);
    EXPECT_EQ(counts[PlaceOfBin(32)], 1u);
    EXPECT_EQ(counts[PlaceOfBin(255)], 2u);
  }
}

// More of one bin than a table of 16 bits counts, and rows after it that must find the tables empty.
TEST(ElementKernels, CountAnyNumberOfMagnitudesInOneBin) {
  const std::size_t size = (std::size_t{1} << 18) + 5;
  const std::vector<float> row(size, 2.0f);
  std::vector<std::uint8_t> places(size);
  std::vector<std::uint32_t> counts(256), codes(size);
  for (const ElementKernels* table : Tables())
    for (const std::size_t taken : {size, std::size_t{3}}) {
      table->magnitude_bins({{row.data()}}, taken, codes.data(), places.data(), counts.data());
      EXPECT_EQ(counts[0], taken);
      EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0u), taken);
    }
}

TEST(ElementKernels, LetTheBinDecideBetweenTheLimits) {
  std::vector<std::uint16_t> words(64);
  std::vector<std::uint8_t> bins(64);
  for (std::size_t i = 0; i < 64; ++i) words[i] = static_cast<std::uint16_t>(i), bins[i] = i % 2;
  std::vector<std::uint16_t> table(256);
  table[0] = 20, table[1] = 40;
  for (const ElementKernels* kernels : Tables()) {
    std::uint64_t bits = 0;
    kernels->below_table(words.data(), bins.data(), table.data(), 20, 40, 64, &bits);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(bits >> i & 1, i < (i % 2 ? 40u : 20u) ? 1u : 0u) << i;
  }
}

}  // namespace
}  // namespace forge::merge
