// SPDX-License-Identifier: Apache-2.0
#include "io/k_quant_blocks.h"

#include <algorithm>

#include "io/block_scale.h"

namespace forge::io {
namespace {

/// The 8 scales and 8 least values of 6 bits in the 12 bytes of Q4_K and Q5_K: those of groups 0 to 3 are the
/// lower 6 bits of bytes 0-3 and 4-7; groups 4 to 7 have their lower 4 bits in bytes 8-11 (scale low, least
/// value high) and their upper 2 bits on top of bytes 0-3 and 4-7.
struct SixBitScales {
  int scale[8], least[8];
  explicit SixBitScales(const std::uint8_t* bytes) {
    for (int j = 0; j < 4; ++j) {
      scale[j] = bytes[j] & 63;
      least[j] = bytes[j + 4] & 63;
      scale[j + 4] = (bytes[j + 8] & 15) | (bytes[j] >> 6) << 4;
      least[j + 4] = (bytes[j + 8] >> 4) | (bytes[j + 4] >> 6) << 4;
    }
  }
};

void StoreSixBitScales(const KQuantBlock& block, std::uint8_t* bytes) {
  for (std::size_t j = 0; j < 4; ++j) {
    const int scale = block.scale[j], least = block.least[j];
    const int later_scale = block.scale[j + 4], later_least = block.least[j + 4];
    bytes[j] = static_cast<std::uint8_t>(scale | later_scale >> 4 << 6);
    bytes[j + 4] = static_cast<std::uint8_t>(least | later_least >> 4 << 6);
    bytes[j + 8] = static_cast<std::uint8_t>((later_scale & 15) | (later_least & 15) << 4);
  }
}

}  // namespace

// Each half of 128 elements has 32 bytes of q: element 32 p + l is at bit 2 p of byte l.
void DecodeQ2_K(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes + 80), e = LoadScale(bytes + 82);
  for (int group = 0; group < 16; ++group) {
    const std::uint8_t* q = bytes + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    const float step = d * static_cast<float>(bytes[group] & 15);
    const float least = e * static_cast<float>(bytes[group] >> 4);
    for (int l = 0; l < 16; ++l)
      values[16 * group + l] = step * static_cast<float>((q[l] >> shift) & 3) - least;
  }
}

// q as in Q2_K; the third bit of element 32 p + l (p = 0 to 7) is bit p of h[l]. The scale of group g has its
// lower 4 bits in byte g % 8 (low half for g < 8) and its upper 2 in byte 8 + g % 4 at bit 2 (g / 4).
void DecodeQ3_K(const std::uint8_t* bytes, float* values) {
  const std::uint8_t *h = bytes, *scales = bytes + 96;
  const float d = LoadScale(bytes + 108);
  for (int group = 0; group < 16; ++group) {
    const std::uint8_t* q = bytes + 32 + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float step = d * static_cast<float>((low | high << 4) - 32);
    for (int l = 0; l < 16; ++l) {
      const int third = (h[group % 2 * 16 + l] >> (group / 2)) & 1;
      values[16 * group + l] = step * static_cast<float>(((q[l] >> shift) & 3) + 4 * third - 4);
    }
  }
}

// Groups 2 i and 2 i + 1 are the low and the high halves of 32 bytes of q.
void DecodeQ4_K(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes), e = LoadScale(bytes + 2);
  const SixBitScales scales(bytes + 4);
  for (int group = 0; group < 8; ++group) {
    const std::uint8_t* q = bytes + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    const float step = d * static_cast<float>(scales.scale[group]);
    const float least = e * static_cast<float>(scales.least[group]);
    for (int l = 0; l < 32; ++l)
      values[32 * group + l] = step * static_cast<float>((q[l] >> shift) & 15) - least;
  }
}

// As Q4_K; the fifth bit of element l of group g is bit g of h[l].
void DecodeQ5_K(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes), e = LoadScale(bytes + 2);
  const SixBitScales scales(bytes + 4);
  const std::uint8_t* h = bytes + 16;
  for (int group = 0; group < 8; ++group) {
    const std::uint8_t* q = bytes + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    const float step = d * static_cast<float>(scales.scale[group]);
    const float least = e * static_cast<float>(scales.least[group]);
    for (int l = 0; l < 32; ++l) {
      const int code = ((q[l] >> shift) & 15) | ((h[l] >> group) & 1) << 4;
      values[32 * group + l] = step * static_cast<float>(code) - least;
    }
  }
}

// Each half of 128 elements has 64 bytes of q and 32 of h: element 32 p + l has its lower 4 bits in
// q[l + 32 (p & 1)] (low half for p < 2, else high) and its upper 2 bits in h[l] at bit 2 p.
void DecodeQ6_K(const std::uint8_t* bytes, float* values) {
  const float d = LoadScale(bytes + 208);
  for (int group = 0; group < 16; ++group) {
    const int half = group / 8, plane = group % 8 / 2, first = group % 2 * 16;
    const std::uint8_t* q = bytes + 64 * half + 32 * (plane & 1) + first;
    const std::uint8_t* h = bytes + 128 + 32 * half + first;
    const int shift = plane < 2 ? 0 : 4;
    const float step = d * static_cast<float>(static_cast<std::int8_t>(bytes[192 + group]));
    for (int l = 0; l < 16; ++l) {
      const int code = ((q[l] >> shift) & 15) | ((h[l] >> (2 * plane)) & 3) << 4;
      values[16 * group + l] = step * static_cast<float>(code - 32);
    }
  }
}

// The places are those that the decoders above describe.
void PackQ2_K(const KQuantBlock& block, std::uint8_t* bytes) {
  std::fill_n(bytes, 84, std::uint8_t{0});
  for (int group = 0; group < 16; ++group) {
    const auto g = static_cast<std::size_t>(group);
    bytes[group] = static_cast<std::uint8_t>(block.scale[g] | block.least[g] << 4);
    std::uint8_t* q = bytes + 16 + group / 8 * 32 + group % 2 * 16;
    for (std::size_t l = 0; l < 16; ++l)
      q[l] = static_cast<std::uint8_t>(q[l] | block.code[16 * g + l] << (group % 8 / 2 * 2));
  }
  StoreScale(bytes + 80, block.d);
  StoreScale(bytes + 82, block.e);
}

void PackQ3_K(const KQuantBlock& block, std::uint8_t* bytes) {
  std::fill_n(bytes, 110, std::uint8_t{0});
  std::uint8_t *h = bytes, *scales = bytes + 96;
  for (int group = 0; group < 16; ++group) {
    const auto g = static_cast<std::size_t>(group);
    const int scale = block.scale[g] + 32;
    scales[group % 8] = static_cast<std::uint8_t>(scales[group % 8] | (scale & 15) << (group / 8 * 4));
    std::uint8_t& high = scales[8 + group % 4];
    high = static_cast<std::uint8_t>(high | scale >> 4 << (group / 4 * 2));
    std::uint8_t *q = bytes + 32 + group / 8 * 32 + group % 2 * 16, *third = h + group % 2 * 16;
    for (std::size_t l = 0; l < 16; ++l) {
      const int code = block.code[16 * g + l];
      q[l] = static_cast<std::uint8_t>(q[l] | (code & 3) << (group % 8 / 2 * 2));
      third[l] = static_cast<std::uint8_t>(third[l] | code >> 2 << (group / 2));
    }
  }
  StoreScale(bytes + 108, block.d);
}

void PackQ4_K(const KQuantBlock& block, std::uint8_t* bytes) {
  StoreScale(bytes, block.d);
  StoreScale(bytes + 2, block.e);
  StoreSixBitScales(block, bytes + 4);
  for (std::size_t pair = 0; pair < 4; ++pair)
    for (std::size_t l = 0; l < 32; ++l)
      bytes[16 + 32 * pair + l] =
          static_cast<std::uint8_t>(block.code[64 * pair + l] | block.code[64 * pair + 32 + l] << 4);
}

void PackQ5_K(const KQuantBlock& block, std::uint8_t* bytes) {
  StoreScale(bytes, block.d);
  StoreScale(bytes + 2, block.e);
  StoreSixBitScales(block, bytes + 4);
  std::uint8_t *h = bytes + 16, *q = bytes + 48;
  std::fill_n(h, 32, std::uint8_t{0});
  for (std::size_t pair = 0; pair < 4; ++pair)
    for (std::size_t l = 0; l < 32; ++l) {
      const int low = block.code[64 * pair + l], high = block.code[64 * pair + 32 + l];
      q[32 * pair + l] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
      h[l] = static_cast<std::uint8_t>(h[l] | (low >> 4) << (2 * pair) | (high >> 4) << (2 * pair + 1));
    }
}

void PackQ6_K(const KQuantBlock& block, std::uint8_t* bytes) {
  std::fill_n(bytes, 192, std::uint8_t{0});
  for (int group = 0; group < 16; ++group) {
    const auto g = static_cast<std::size_t>(group);
    const int half = group / 8, plane = group % 8 / 2, first = group % 2 * 16;
    std::uint8_t *q = bytes + 64 * half + 32 * (plane & 1) + first, *h = bytes + 128 + 32 * half + first;
    for (std::size_t l = 0; l < 16; ++l) {
      const int code = block.code[16 * g + l];
      q[l] = static_cast<std::uint8_t>(q[l] | (code & 15) << (plane < 2 ? 0 : 4));
      h[l] = static_cast<std::uint8_t>(h[l] | code >> 4 << (2 * plane));
    }
    bytes[192 + group] = static_cast<std::uint8_t>(static_cast<std::int8_t>(block.scale[g]));
  }
  StoreScale(bytes + 208, block.d);
}

}  // namespace forge::io
