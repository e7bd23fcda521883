// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

/// Layouts of the "K" block types of GGUF: 256 elements in groups that have small scales (and least values)
/// of their own, which are multiples of the block's binary16 steps d and e. One block a call;
/// io/gguf_blocks.h is the interface for rows. (Layouts: ggml-org/ggml@d99724f, ggml-common.h.)
///
///   Q2_K   84 bytes: scales[16] | q[64] | d | e            16 groups of 16: value = d s q - e t
///   Q3_K  110 bytes: h[32] | q[64] | scales[12] | d        16 groups of 16: value = d (s - 32) (q - 4)
///   Q4_K  144 bytes: d | e | scales[12] | q[128]            8 groups of 32: value = d s q - e t
///   Q5_K  176 bytes: d | e | scales[12] | h[32] | q[128]    8 groups of 32: value = d s q - e t
///   Q6_K  210 bytes: q[128] | h[64] | int8 scales[16] | d  16 groups of 16: value = d s (q - 32)
///
/// h holds the upper bits of the codes. Products are rounded in the order written, so the values are those of
/// ggml and gguf-py to the bit. What to store is chosen by k_quant_fit.h.
namespace forge::io {

inline constexpr int kKQuantElements = 256;

/// A block, unpacked: value = d scale (code - zero) - e least, zero as KQuantFormat has it.
struct KQuantBlock {
  float d = 0, e = 0;                    // binary16 numbers; e is 0 for types without least values
  std::array<std::int16_t, 16> scale{};  // of the groups there are; signed for Q3_K and Q6_K
  std::array<std::int16_t, 16> least{};  // not negative
  std::array<std::uint8_t, kKQuantElements> code{};
};

/// The numbers that a type can hold.
struct KQuantFormat {
  int group;                     // elements that share a scale
  int codes;                     // from 0 on
  int zero;                      // the code of value 0 where there are no least values, else 0
  int lowest_scale, most_scale;  // of the integers
  int most_least;                // 0: no least values
  void (*pack)(const KQuantBlock& block, std::uint8_t* bytes);

  int groups() const { return kKQuantElements / group; }
  /// As the decoders compute it, to the bit.
  float Value(const KQuantBlock& block, int g, int code) const {
    const float step = block.d * static_cast<float>(block.scale[static_cast<std::size_t>(g)]);
    const float product = step * static_cast<float>(code - zero);
    if (most_least == 0) return product;
    return product - block.e * static_cast<float>(block.least[static_cast<std::size_t>(g)]);
  }
};

void DecodeQ2_K(const std::uint8_t* bytes, float* values);
void DecodeQ3_K(const std::uint8_t* bytes, float* values);
void DecodeQ4_K(const std::uint8_t* bytes, float* values);
void DecodeQ5_K(const std::uint8_t* bytes, float* values);
void DecodeQ6_K(const std::uint8_t* bytes, float* values);

void PackQ2_K(const KQuantBlock& block, std::uint8_t* bytes);
void PackQ3_K(const KQuantBlock& block, std::uint8_t* bytes);
void PackQ4_K(const KQuantBlock& block, std::uint8_t* bytes);
void PackQ5_K(const KQuantBlock& block, std::uint8_t* bytes);
void PackQ6_K(const KQuantBlock& block, std::uint8_t* bytes);

inline constexpr KQuantFormat kFormatQ2_K{16, 4, 0, 0, 15, 15, PackQ2_K};
inline constexpr KQuantFormat kFormatQ3_K{16, 8, 4, -32, 31, 0, PackQ3_K};
inline constexpr KQuantFormat kFormatQ4_K{32, 16, 0, 0, 63, 63, PackQ4_K};
inline constexpr KQuantFormat kFormatQ5_K{32, 32, 0, 0, 63, 63, PackQ5_K};
inline constexpr KQuantFormat kFormatQ6_K{16, 64, 32, -128, 127, 0, PackQ6_K};

}  // namespace forge::io
