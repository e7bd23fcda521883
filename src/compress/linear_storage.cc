// SPDX-License-Identifier: Apache-2.0
#include "compress/linear_storage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"
#include "base/thread_pool.h"

namespace forge::compress {
namespace {

/// d with levels lowest d .. highest d; 0 for a group of zeros.
struct EvenCodes {
  int lowest, highest;
  float StepOf(const GroupLevels& levels) const {
    if (levels.count == 1) return 0;
    FORGE_CHECK(levels.count == static_cast<std::size_t>(highest - lowest + 1));
    const float low = levels.level[0], high = levels.level[levels.count - 1];
    const float extreme = std::fabs(low) > std::fabs(high) ? low : high;
    return extreme / static_cast<float>(-lowest > highest ? lowest : highest);
  }
};

/// code - lowest of each value of a group, all levels being multiples of d.
void CodesOfSteps(std::span<const float> values, float d, int lowest, std::uint8_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i)
    codes[i] =
        static_cast<std::uint8_t>((d == 0 ? 0 : static_cast<int>(std::lround(values[i] / d))) - lowest);
}

/// Q4_0 and Q5_0: the step, then the fifth bits, then the nibbles.
void PackNibbles(const std::uint8_t* codes, bool has_fifth, std::byte* bytes) {
  std::uint32_t fifth = 0;
  std::byte* q = bytes + (has_fifth ? 4 : 0);
  for (unsigned j = 0; j < 16; ++j) {
    q[j] = static_cast<std::byte>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
    fifth |= static_cast<std::uint32_t>(codes[j] >> 4) << j | static_cast<std::uint32_t>(codes[j + 16] >> 4)
                                                                  << (j + 16);
  }
  if (has_fifth) std::memcpy(bytes, &fifth, sizeof fifth);
}

void PackSmall(const QuantisedLinear& linear, io::BlockType type, EncodedLinear& result) {
  const bool is_five = type == io::BlockType::kQ5_0, is_four = type == io::BlockType::kQ4_0;
  const EvenCodes even = is_five ? EvenCodes{-16, 15} : is_four ? EvenCodes{-8, 7} : EvenCodes{-1, 2};
  const auto group = static_cast<std::size_t>(linear.group);
  const std::size_t bytes = io::Info(type).bytes;
  std::array<std::uint8_t, 64> codes;
  for (std::size_t b = 0; b < linear.levels.size(); ++b) {
    const float d = even.StepOf(linear.levels[b]);
    const std::uint16_t half = FloatToHalf(d);
    FORGE_CHECK(HalfToFloat(half) == d);
    CodesOfSteps(std::span(linear.values).subspan(b * group, group), d, even.lowest, codes.data());
    std::byte* block = result.blocks.data() + b * bytes;
    std::memcpy(block, &half, sizeof half);
    if (is_five || is_four) {
      PackNibbles(codes.data(), is_five, block + 2);
      continue;
    }
    for (std::size_t j = 0; j < 16; ++j)
      block[2 + j] = static_cast<std::byte>(codes[4 * j] | codes[4 * j + 1] << 2 | codes[4 * j + 2] << 4 |
                                            codes[4 * j + 3] << 6);
  }
}

void PackKQuants(const QuantisedLinear& linear, const Quantiser::Blocks& blocks, EncodedLinear& result) {
  const io::KQuantFormat& format = *blocks.k_quant;
  for (std::size_t b = 0; b < linear.blocks.size(); ++b) {
    io::KQuantBlock block = linear.blocks[b];
    for (std::size_t i = 0; i < io::kKQuantElements; ++i) {
      const float value = linear.values[b * io::kKQuantElements + i];
      const int group = static_cast<int>(i) / format.group;
      int code = 0;
      while (code < format.codes && format.Value(block, group, code) != value) ++code;
      FORGE_CHECK(code < format.codes);
      block.code[i] = static_cast<std::uint8_t>(code);
    }
    format.pack(block,
                reinterpret_cast<std::uint8_t*>(result.blocks.data() + b * io::Info(blocks.type).bytes));
  }
}

/// The codes of both planes that give a level; the second only where the first alone does not.
std::array<std::int8_t, 2> CodesOf(const GroupLevels& levels, float value) {
  const float first = levels.plane[0], second = levels.plane[1];
  for (const int b : {0, 1, -1})
    for (const int a : {0, 1, -1})
      if (static_cast<float>(a) * first + static_cast<float>(b) * second == value && (a == 0 || first != 0) &&
          (b == 0 || second != 0))
        return {static_cast<std::int8_t>(a), static_cast<std::int8_t>(b)};
  FORGE_CHECK(false);
  return {};
}

}  // namespace

model::TernaryTensor ToTernary(const QuantisedLinear& linear, std::size_t plane, std::int64_t group) {
  if (group == 0) group = linear.group;
  FORGE_CHECK(linear.group % group == 0);
  model::TernaryTensor tensor{
      .shape = {linear.out, linear.in}, .codes = {}, .scales = {}, .group = static_cast<int>(group)};
  for (const GroupLevels& levels : linear.levels)
    tensor.scales.insert(tensor.scales.end(), static_cast<std::size_t>(linear.group / group),
                         levels.plane[plane]);
  for (std::size_t i = 0; i < linear.values.size(); ++i)
    tensor.codes.push_back(
        CodesOf(linear.levels[i / static_cast<std::size_t>(linear.group)], linear.values[i])[plane]);
  return tensor;
}

EncodedLinear EncodeLevels(const QuantisedLinear& linear, const Quantiser::Blocks& blocks) {
  FORGE_CHECK(linear.group == blocks.group);
  EncodedLinear result{.type = blocks.type, .blocks = {}};
  result.blocks.resize(static_cast<std::size_t>(linear.out) *
                       io::RowBytes(blocks.type, static_cast<std::size_t>(linear.in)));
  if (blocks.k_quant != nullptr)
    PackKQuants(linear, blocks, result);
  else
    PackSmall(linear, blocks.type, result);
  return result;
}

EncodedLinear Encode(io::BlockType type, std::span<const float> weights, std::int64_t in) {
  const auto columns = static_cast<std::size_t>(in);
  EncodedLinear result{.type = type, .blocks = {}};
  const std::size_t rows = weights.size() / columns, row_bytes = io::RowBytes(type, columns);
  result.blocks.resize(rows * row_bytes);
  ParallelFor(rows, 16, [&](std::size_t begin, std::size_t end) {
    io::EncodeBlocks(type, weights.subspan(begin * columns, (end - begin) * columns),
                     std::span(result.blocks).subspan(begin * row_bytes, (end - begin) * row_bytes));
  });
  return result;
}

}  // namespace forge::compress
