// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// Decoders of the "K" block types of GGUF: 256 elements in groups that have small scales (and least values)
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
/// ggml and gguf-py to the bit. There are no encoders: forge writes the types of small_blocks.h.
namespace forge::io {

void DecodeQ2_K(const std::uint8_t* bytes, float* values);
void DecodeQ3_K(const std::uint8_t* bytes, float* values);
void DecodeQ4_K(const std::uint8_t* bytes, float* values);
void DecodeQ5_K(const std::uint8_t* bytes, float* values);
void DecodeQ6_K(const std::uint8_t* bytes, float* values);

}  // namespace forge::io
