// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The block types of GGUF with 32 elements, one block a call; io/gguf_blocks.h is the interface for rows.
/// Layouts (ggml-org/ggml@d99724f, ggml-common.h), d and m as binary16; byte j of q holds element j in its
/// low and element j + 16 in its high half; bit e of the 32-bit number h is the fifth bit of element e:
///
///   Q8_0  34 bytes: d | int8 q[32]        value = d q
///   Q4_0  18 bytes: d | q[16]             value = d (q - 8)
///   Q4_1  20 bytes: d | m | q[16]         value = d q + m
///   Q5_0  22 bytes: d | h | q[16]         value = d (q - 16)
///   Q5_1  24 bytes: d | m | h | q[16]     value = d q + m
///
/// Encode rounds each value to the nearest code, as ggml's reference quantizer does, byte for byte: the step
/// comes from the largest |x| (Q8_0), from the value of the largest |x| with its sign (Q4_0, Q5_0: that value
/// gets the code 0) or from the range (Q4_1, Q5_1). It looks for no better step. Finite values only.
namespace forge::io {

void DecodeQ8_0(const std::uint8_t* bytes, float* values);
void DecodeQ4_0(const std::uint8_t* bytes, float* values);
void DecodeQ4_1(const std::uint8_t* bytes, float* values);
void DecodeQ5_0(const std::uint8_t* bytes, float* values);
void DecodeQ5_1(const std::uint8_t* bytes, float* values);

void EncodeQ8_0(const float* values, std::uint8_t* bytes);
void EncodeQ4_0(const float* values, std::uint8_t* bytes);
void EncodeQ4_1(const float* values, std::uint8_t* bytes);
void EncodeQ5_0(const float* values, std::uint8_t* bytes);
void EncodeQ5_1(const float* values, std::uint8_t* bytes);

}  // namespace forge::io
