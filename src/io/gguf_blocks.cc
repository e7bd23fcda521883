// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_blocks.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/float16.h"
#include "io/block_scale.h"
#include "io/k_quant_blocks.h"
#include "io/k_quant_fit.h"
#include "io/small_blocks.h"
#include "io/ternary_blocks.h"

namespace forge::io {
namespace {

using Bytes = std::uint8_t*;
using ConstBytes = const std::uint8_t*;

void DecodeF16(ConstBytes bytes, float* values) { *values = LoadScale(bytes); }
void EncodeF16(const float* values, Bytes bytes) { StoreScale(bytes, *values); }
void DecodeBF16(ConstBytes bytes, float* values) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  *values = BFloat16ToFloat(bits);
}
void EncodeBF16(const float* values, Bytes bytes) {
  const std::uint16_t bits = FloatToBFloat16(*values);
  std::memcpy(bytes, &bits, 2);
}

void DecodeAllF32(ConstBytes bytes, float* values, std::size_t count) {
  if (count > 0) std::memcpy(values, bytes, 4 * count);
}
void EncodeAllF32(const float* values, Bytes bytes, std::size_t count) {
  if (count > 0) std::memcpy(bytes, values, 4 * count);
}

/// `blocks` blocks, one after the other, by a function for one.
template <void (*kDecode)(ConstBytes, float*), std::size_t kElements, std::size_t kBytes>
void DecodeEach(ConstBytes bytes, float* values, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) kDecode(bytes + i * kBytes, values + i * kElements);
}
template <void (*kEncode)(const float*, Bytes), std::size_t kElements, std::size_t kBytes>
void EncodeEach(const float* values, Bytes bytes, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) kEncode(values + i * kElements, bytes + i * kBytes);
}

struct Codec {
  BlockType type;
  BlockInfo info;
  void (*decode)(ConstBytes, float*, std::size_t blocks);
  void (*encode)(const float*, Bytes, std::size_t blocks);
  const KQuantFormat* k_quant = nullptr;  // of those that are fitted
};

template <std::size_t kElements, std::size_t kBytes, auto kDecode, auto kEncode>
constexpr Codec Both(BlockType type, std::string_view name) {
  return {type,
          {name, kElements, kBytes},
          DecodeEach<kDecode, kElements, kBytes>,
          EncodeEach<kEncode, kElements, kBytes>};
}
/// Of the same importance, to be called by EncodeEach.
template <const KQuantFormat& kFormat>
void EncodeFitted(const float* values, Bytes bytes) {
  kFormat.pack(FitKQuant(kFormat, values, nullptr), bytes);
}
template <std::size_t kBytes, auto kDecode, const KQuantFormat& kFormat>
constexpr Codec Fitted(BlockType type, std::string_view name) {
  Codec codec = Both<kKQuantElements, kBytes, kDecode, EncodeFitted<kFormat>>(type, name);
  codec.k_quant = &kFormat;
  return codec;
}

constexpr Codec kCodecs[] = {
    {BlockType::kF32, {"F32", 1, 4}, DecodeAllF32, EncodeAllF32},
    Both<1, 2, DecodeF16, EncodeF16>(BlockType::kF16, "F16"),
    Both<1, 2, DecodeBF16, EncodeBF16>(BlockType::kBF16, "BF16"),
    Both<32, 34, DecodeQ8_0, EncodeQ8_0>(BlockType::kQ8_0, "Q8_0"),
    Both<32, 18, DecodeQ4_0, EncodeQ4_0>(BlockType::kQ4_0, "Q4_0"),
    Both<32, 20, DecodeQ4_1, EncodeQ4_1>(BlockType::kQ4_1, "Q4_1"),
    Both<32, 22, DecodeQ5_0, EncodeQ5_0>(BlockType::kQ5_0, "Q5_0"),
    Both<32, 24, DecodeQ5_1, EncodeQ5_1>(BlockType::kQ5_1, "Q5_1"),
    Fitted<84, DecodeQ2_K, kFormatQ2_K>(BlockType::kQ2_K, "Q2_K"),
    Fitted<110, DecodeQ3_K, kFormatQ3_K>(BlockType::kQ3_K, "Q3_K"),
    Fitted<144, DecodeQ4_K, kFormatQ4_K>(BlockType::kQ4_K, "Q4_K"),
    Fitted<176, DecodeQ5_K, kFormatQ5_K>(BlockType::kQ5_K, "Q5_K"),
    Fitted<210, DecodeQ6_K, kFormatQ6_K>(BlockType::kQ6_K, "Q6_K"),
    Both<256, 54, DecodeTQ1_0, EncodeTQ1_0>(BlockType::kTQ1_0, "TQ1_0"),
    Both<256, 66, DecodeTQ2_0, EncodeTQ2_0>(BlockType::kTQ2_0, "TQ2_0"),
    Both<64, 18, DecodeQ2_0, EncodeQ2_0>(BlockType::kQ2_0, "Q2_0"),
};

/// Types of ggml that forge does not read (enum ggml_type; 36 is bitnet.cpp's).
constexpr std::pair<std::uint32_t, const char*> kForeignTypes[] = {
    {9, "Q8_1"},   {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},  {23, "IQ4_XS"},
    {24, "I8"},    {25, "I16"},    {26, "I32"},     {27, "I64"},    {28, "F64"},
    {29, "IQ1_M"}, {36, "I2_S"},   {39, "MXFP4"},   {40, "NVFP4"},  {41, "Q1_0"},
};

const Codec& CodecOf(BlockType type) {
  for (const Codec& codec : kCodecs)
    if (codec.type == type) return codec;
  FORGE_CHECK(!"a type of the table");
  return kCodecs[0];
}

}  // namespace

std::optional<BlockType> FindBlockType(std::uint32_t id) {
  for (const Codec& codec : kCodecs)
    if (static_cast<std::uint32_t>(codec.type) == id) return codec.type;
  return std::nullopt;
}

std::optional<BlockType> FindBlockType(std::string_view name) {
  for (const Codec& codec : kCodecs)
    if (codec.info.name == name) return codec.type;
  return std::nullopt;
}

std::string BlockTypeName(std::uint32_t id) {
  if (const auto type = FindBlockType(id)) return std::string(Info(*type).name);
  for (const auto& [foreign_id, name] : kForeignTypes)
    if (foreign_id == id) return name;
  return "type " + std::to_string(id);
}

std::string BlockTypeNames() {
  std::string names;
  for (const Codec& codec : kCodecs) names += (names.empty() ? "" : ", ") + std::string(codec.info.name);
  return names;
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
  codec.decode(source, values.data(), values.size() / codec.info.elements);
}

void EncodeBlocks(BlockType type, std::span<const float> values, std::span<std::byte> bytes) {
  const Codec& codec = CodecOf(type);
  FORGE_CHECK(bytes.size() == RowBytes(type, values.size()));
  const auto target = reinterpret_cast<Bytes>(bytes.data());
  codec.encode(values.data(), target, values.size() / codec.info.elements);
}

void EncodeWeighted(BlockType type, std::span<const float> values, std::span<const float> importance,
                    std::span<std::byte> bytes) {
  const Codec& codec = CodecOf(type);
  FORGE_CHECK(codec.k_quant != nullptr && bytes.size() == RowBytes(type, values.size()));
  FORGE_CHECK(importance.size() % kKQuantElements == 0 && !importance.empty() &&
              values.size() % importance.size() == 0);
  const auto target = reinterpret_cast<Bytes>(bytes.data());
  for (std::size_t i = 0; i < values.size() / kKQuantElements; ++i) {
    const std::size_t first = i * kKQuantElements;
    codec.k_quant->pack(
        FitKQuant(*codec.k_quant, values.data() + first, importance.data() + first % importance.size()),
        target + i * codec.info.bytes);
  }
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
