// SPDX-License-Identifier: Apache-2.0
// Layouts: ggml-org/ggml@d99724f ggml-common.h and ggml-quants.c, restated from their description.
#include "io/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>

#include "base/check.h"
#include "base/float16.h"
#include "io/ternary_blocks.h"

namespace forge::io {
namespace {

using Bytes = std::uint8_t*;
using ConstBytes = const std::uint8_t*;

float LoadHalf(ConstBytes bytes) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return HalfToFloat(bits);
}

void StoreHalf(Bytes bytes, float value) {
  const std::uint16_t bits = FloatToHalf(value);
  std::memcpy(bytes, &bits, 2);
}

void DecodeF32(ConstBytes bytes, float* values) { std::memcpy(values, bytes, 4); }
void EncodeF32(const float* values, Bytes bytes) { std::memcpy(bytes, values, 4); }
void DecodeF16(ConstBytes bytes, float* values) { *values = LoadHalf(bytes); }
void EncodeF16(const float* values, Bytes bytes) { StoreHalf(bytes, *values); }
void DecodeBF16(ConstBytes bytes, float* values) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  *values = BFloat16ToFloat(bits);
}
void EncodeBF16(const float* values, Bytes bytes) {
  const std::uint16_t bits = FloatToBFloat16(*values);
  std::memcpy(bytes, &bits, 2);
}

/// 1 / d, and 0 for a step that is 0 or too small to have a finite inverse.
float Inverse(float d) { return d != 0 && std::isfinite(1 / d) ? 1 / d : 0; }

constexpr int kSmall = 32;  // elements of Q8_0, Q4_0 and Q4_1

// Q8_0: half d | int8 q[32]; value = d q.
void DecodeQ8_0(ConstBytes bytes, float* values) {
  const float d = LoadHalf(bytes);
  for (int j = 0; j < kSmall; ++j) values[j] = d * static_cast<float>(static_cast<std::int8_t>(bytes[2 + j]));
}
void EncodeQ8_0(const float* values, Bytes bytes) {
  float largest = 0;
  for (int j = 0; j < kSmall; ++j) largest = std::max(largest, std::fabs(values[j]));
  const float d = largest / 127;
  const float inverse = Inverse(d);
  StoreHalf(bytes, d);
  for (int j = 0; j < kSmall; ++j)
    bytes[2 + j] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(values[j] * inverse)));
}

// Q4_0: half d | 16 bytes; byte j holds element j in its low and j + 16 in its high half; value = d (q - 8).
void DecodeQ4_0(ConstBytes bytes, float* values) {
  const float d = LoadHalf(bytes);
  for (int j = 0; j < 16; ++j) {
    values[j] = d * static_cast<float>((bytes[2 + j] & 15) - 8);
    values[j + 16] = d * static_cast<float>((bytes[2 + j] >> 4) - 8);
  }
}
void EncodeQ4_0(const float* values, Bytes bytes) {
  float extreme = 0;  // with its sign; the first of equals
  for (int j = 0; j < kSmall; ++j)
    if (std::fabs(values[j]) > std::fabs(extreme)) extreme = values[j];
  const float d = extreme / -8;
  const float inverse = Inverse(d);
  StoreHalf(bytes, d);
  const auto code = [&](float x) { return std::min(15, static_cast<int>(x * inverse + 8.5f)); };
  for (int j = 0; j < 16; ++j)
    bytes[2 + j] = static_cast<std::uint8_t>(code(values[j]) | code(values[j + 16]) << 4);
}

// Q4_1: half d | half m | 16 bytes as in Q4_0; value = d q + m.
void DecodeQ4_1(ConstBytes bytes, float* values) {
  const float d = LoadHalf(bytes), m = LoadHalf(bytes + 2);
  for (int j = 0; j < 16; ++j) {
    const float low = d * static_cast<float>(bytes[4 + j] & 15),
                high = d * static_cast<float>(bytes[4 + j] >> 4);
    values[j] = low + m;
    values[j + 16] = high + m;
  }
}
void EncodeQ4_1(const float* values, Bytes bytes) {
  const auto [least, most] = std::minmax_element(values, values + kSmall);
  const float m = *least, d = (*most - m) / 15;
  const float inverse = Inverse(d);
  StoreHalf(bytes, d);
  StoreHalf(bytes + 2, m);
  const auto code = [&](float x) { return std::min(15, static_cast<int>((x - m) * inverse + 0.5f)); };
  for (int j = 0; j < 16; ++j)
    bytes[4 + j] = static_cast<std::uint8_t>(code(values[j]) | code(values[j + 16]) << 4);
}

// Q6_K: ql[128] | qh[64] | int8 scales[16] | half d. Each half of 128 elements has 64 bytes of ql and 32 of
// qh: element 32 p + l has its 4 low bits in ql[l + 32 (p & 1)] (low half for p < 2, else high), its 2 high
// bits in qh[l] at bit 2 p. value = d scale[e / 16] (q - 32).
void DecodeQ6_K(ConstBytes bytes, float* values) {
  const float d = LoadHalf(bytes + 208);
  for (int half = 0; half < 2; ++half) {
    ConstBytes low = bytes + 64 * half, high = bytes + 128 + 32 * half, scales = bytes + 192 + 8 * half;
    for (int e = 0; e < 128; ++e) {
      const int plane = e / 32, l = e % 32;
      const int nibble = (low[l + 32 * (plane & 1)] >> (plane < 2 ? 0 : 4)) & 15;
      const int code = (nibble | ((high[l] >> (2 * plane)) & 3) << 4) - 32;
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(scales[e / 16]));
      values[128 * half + e] = scale * static_cast<float>(code);
    }
  }
}

struct Codec {
  BlockInfo info;
  void (*decode)(ConstBytes, float*);
  void (*encode)(const float*, Bytes);
};

const Codec& CodecOf(BlockType type) {
  using enum BlockType;
  static const std::map<BlockType, Codec> codecs = {
      {kF32, {{"F32", 1, 4, true}, DecodeF32, EncodeF32}},
      {kF16, {{"F16", 1, 2, true}, DecodeF16, EncodeF16}},
      {kBF16, {{"BF16", 1, 2, true}, DecodeBF16, EncodeBF16}},
      {kQ8_0, {{"Q8_0", 32, 34, true}, DecodeQ8_0, EncodeQ8_0}},
      {kQ4_0, {{"Q4_0", 32, 18, true}, DecodeQ4_0, EncodeQ4_0}},
      {kQ4_1, {{"Q4_1", 32, 20, true}, DecodeQ4_1, EncodeQ4_1}},
      {kQ6_K, {{"Q6_K", 256, 210, false}, DecodeQ6_K, nullptr}},
      {kTQ1_0, {{"TQ1_0", 256, 54, true}, DecodeTQ1_0, EncodeTQ1_0}},
      {kTQ2_0, {{"TQ2_0", 256, 66, true}, DecodeTQ2_0, EncodeTQ2_0}},
      {kQ2_0, {{"Q2_0", 64, 18, true}, DecodeQ2_0, EncodeQ2_0}},
  };
  return codecs.at(type);
}

constexpr BlockType kAll[] = {BlockType::kF32,   BlockType::kF16,  BlockType::kBF16, BlockType::kQ8_0,
                              BlockType::kQ4_0,  BlockType::kQ4_1, BlockType::kQ6_K, BlockType::kTQ1_0,
                              BlockType::kTQ2_0, BlockType::kQ2_0};

}  // namespace

std::optional<BlockType> FindBlockType(std::uint32_t id) {
  for (const BlockType type : kAll)
    if (static_cast<std::uint32_t>(type) == id) return type;
  return std::nullopt;
}

std::optional<BlockType> FindBlockType(std::string_view name) {
  for (const BlockType type : kAll)
    if (Info(type).name == name) return type;
  return std::nullopt;
}

const BlockInfo& Info(BlockType type) { return CodecOf(type).info; }

std::size_t RowBytes(BlockType type, std::size_t columns) {
  FORGE_CHECK(columns % Info(type).elements == 0);
  return columns / Info(type).elements * Info(type).bytes;
}

void DecodeBlocks(BlockType type, std::span<const std::byte> bytes, std::span<float> values) {
  const Codec& codec = CodecOf(type);
  FORGE_CHECK(bytes.size() == RowBytes(type, values.size()));
  const auto source = reinterpret_cast<ConstBytes>(bytes.data());
  for (std::size_t i = 0; i < values.size() / codec.info.elements; ++i)
    codec.decode(source + i * codec.info.bytes, values.data() + i * codec.info.elements);
}

void EncodeBlocks(BlockType type, std::span<const float> values, std::span<std::byte> bytes) {
  const Codec& codec = CodecOf(type);
  FORGE_CHECK(codec.encode != nullptr && bytes.size() == RowBytes(type, values.size()));
  const auto target = reinterpret_cast<Bytes>(bytes.data());
  for (std::size_t i = 0; i < values.size() / codec.info.elements; ++i)
    codec.encode(values.data() + i * codec.info.elements, target + i * codec.info.bytes);
}

void EncodeTernary(BlockType type, std::span<const std::int8_t> codes, std::span<const float> scales,
                   std::size_t group_size, std::span<std::byte> bytes) {
  const BlockInfo& info = Info(type);
  FORGE_CHECK(type == BlockType::kTQ1_0 || type == BlockType::kTQ2_0 || type == BlockType::kQ2_0);
  FORGE_CHECK(group_size > 0 && group_size % info.elements == 0 &&
              codes.size() == scales.size() * group_size);
  FORGE_CHECK(bytes.size() == RowBytes(type, codes.size()));
  const auto pack = type == BlockType::kTQ1_0 ? PackTQ1_0 : type == BlockType::kTQ2_0 ? PackTQ2_0 : PackQ2_0;
  const auto target = reinterpret_cast<Bytes>(bytes.data());
  for (std::size_t i = 0; i < codes.size() / info.elements; ++i) {
    const float scale = scales[i * info.elements / group_size];
    pack(codes.data() + i * info.elements, FloatToHalf(scale), target + i * info.bytes);
  }
}

}  // namespace forge::io
