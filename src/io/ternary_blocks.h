// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The three ternary block types of GGUF, one block a call; io/gguf_blocks.h is the interface for whole rows.
///
///   TQ1_0  256 elements, 54 bytes: 5 trits a byte (the last 4 bytes: 4), half d last       1.6875 bits per
///   weight TQ2_0  256 elements, 66 bytes: 2 bits each, half d last                                2.0625
///   Q2_0    64 elements, 18 bytes: half d first, 2 bits each                               2.25
///
/// Pack takes codes in {-1, 0, +1} and the bits of a binary16 scale; Encode finds d = max|x| and code =
/// round(x / d).
namespace forge::io {

void PackTQ1_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes);
void PackTQ2_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes);
void PackQ2_0(const std::int8_t* codes, std::uint16_t scale, std::uint8_t* bytes);

void EncodeTQ1_0(const float* values, std::uint8_t* bytes);
void EncodeTQ2_0(const float* values, std::uint8_t* bytes);
void EncodeQ2_0(const float* values, std::uint8_t* bytes);

void DecodeTQ1_0(const std::uint8_t* bytes, float* values);
void DecodeTQ2_0(const std::uint8_t* bytes, float* values);  // code 3, which nobody writes, is +2
void DecodeQ2_0(const std::uint8_t* bytes, float* values);   // code 3 is +2

}  // namespace forge::io
