// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace forge::io {

/// Block types of GGUF that forge knows; the numbers are those of the files (ggml, enum ggml_type). Layouts:
/// small_blocks.h, k_quant_blocks.h and ternary_blocks.h.
enum class BlockType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kQ2_0 = 42,
};

/// A row is cut into blocks of `elements` values, each stored in `bytes` bytes.
struct BlockInfo {
  std::string_view name;  // "Q8_0"
  std::size_t elements, bytes;
};

/// Nothing for a number that forge does not know.
std::optional<BlockType> FindBlockType(std::uint32_t id);
std::optional<BlockType> FindBlockType(std::string_view name);
const BlockInfo& Info(BlockType type);
/// The name of any type of ggml, also of those that forge does not know ("IQ4_XS"); "type 99" for a number
/// that is none.
std::string BlockTypeName(std::uint32_t id);
/// "F32, F16, ...": the names of the types that forge knows, for messages.
std::string BlockTypeNames();

/// Bytes of a row; `columns` must be a multiple of Info(type).elements.
std::size_t RowBytes(BlockType type, std::size_t columns);

/// Values of a row (or of several that follow each other).
///   bytes   [n / elements * bytes per block], any alignment
///   values  [n], out
/// Products are rounded to float as ggml does. Never fails: every byte pattern means something.
void DecodeBlocks(BlockType type, std::span<const std::byte> bytes, std::span<float> values);

/// Stores values with the rounding of ggml's reference quantizers, byte for byte; but for the K types
/// (Q2_K to Q6_K), whose scales are fitted to the least squared error (k_quant_fit.h), in about 30 ns a
/// value.
///   values  [n], finite; n a multiple of the block
///   bytes   [n / elements * bytes per block], out
/// TQ1_0, TQ2_0 and Q2_0 take d = max|x| of the block and code = round(x / d): right for values that are
/// already ternary with one scale per block, lossy for others.
void EncodeBlocks(BlockType type, std::span<const float> values, std::span<std::byte> bytes);

/// Of the K types only: the error of each column counts by its importance.
///   values      [rows, columns], columns a multiple of 256
///   importance  [columns], not negative
void EncodeWeighted(BlockType type, std::span<const float> values, std::span<const float> importance,
                    std::span<std::byte> bytes);

/// Packs ternary weights as they are: value = scale * code, without looking for a scale.
///   codes   [n] in {-1, 0, +1}
///   scales  [n / group_size] positive or 0; stored as binary16, so round them before (RoundToHalf)
/// `type` is TQ1_0, TQ2_0 or Q2_0; group_size a multiple of its block (256, 256, 64).
void EncodeTernary(BlockType type, std::span<const std::int8_t> codes, std::span<const float> scales,
                   std::size_t group_size, std::span<std::byte> bytes);

}  // namespace forge::io
