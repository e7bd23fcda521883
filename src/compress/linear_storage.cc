// SPDX-License-Identifier: Apache-2.0
#include "compress/linear_storage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"

namespace forge::compress {
namespace {

constexpr std::size_t kBlock = 32;

/// d with levels -8 d .. 7 d; 0 for a block of zeros.
float StepOfQ4(const GroupLevels& levels) {
  if (levels.count == 1) return 0;
  FORGE_CHECK(levels.count == 16);
  const float low = levels.level[0], high = levels.level[15];
  return std::fabs(low) > std::fabs(high) ? -low / 8 : -high / 8;
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

model::TernaryTensor ToTernary(const QuantisedLinear& linear, std::size_t plane) {
  model::TernaryTensor tensor{
      .shape = {linear.out, linear.in}, .codes = {}, .scales = {}, .group = static_cast<int>(linear.group)};
  for (const GroupLevels& levels : linear.levels) tensor.scales.push_back(levels.plane[plane]);
  for (std::size_t i = 0; i < linear.values.size(); ++i)
    tensor.codes.push_back(
        CodesOf(linear.levels[i / static_cast<std::size_t>(linear.group)], linear.values[i])[plane]);
  return tensor;
}

EncodedLinear EncodeQ4(const QuantisedLinear& linear) {
  FORGE_CHECK(linear.group == kBlock);
  const std::size_t bytes = io::Info(io::BlockType::kQ4_0).bytes;
  EncodedLinear result{.type = io::BlockType::kQ4_0,
                       .blocks = std::vector<std::byte>(linear.levels.size() * bytes)};
  for (std::size_t b = 0; b < linear.levels.size(); ++b) {
    const float d = StepOfQ4(linear.levels[b]);
    std::byte* block = result.blocks.data() + b * bytes;
    const std::uint16_t half = FloatToHalf(d);
    FORGE_CHECK(HalfToFloat(half) == d);
    std::memcpy(block, &half, sizeof half);
    std::array<std::uint8_t, kBlock> codes;
    for (std::size_t i = 0; i < kBlock; ++i)
      codes[i] = d == 0 ? 8 : static_cast<std::uint8_t>(std::lround(linear.values[b * kBlock + i] / d) + 8);
    for (std::size_t j = 0; j < kBlock / 2; ++j)
      block[2 + j] = static_cast<std::byte>(codes[j] | codes[j + kBlock / 2] << 4);
  }
  return result;
}

EncodedLinear Encode(io::BlockType type, std::span<const float> weights, std::int64_t in) {
  const auto columns = static_cast<std::size_t>(in);
  EncodedLinear result{.type = type, .blocks = {}};
  result.blocks.resize(weights.size() / columns * io::RowBytes(type, columns));
  io::EncodeBlocks(type, weights, result.blocks);
  return result;
}

}  // namespace forge::compress
