// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace forge::text {

/// 2^64 / phi, Knuth's multiplicative hash: the high bits of a product with it are well mixed.
inline constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;

/// A hash for tables in memory; not the same on every machine, no protection against chosen keys. About a
/// nanosecond for eight bytes.
inline std::uint64_t HashBytes(std::string_view bytes) {
  std::uint64_t hash = bytes.size() * kGoldenRatio;
  const char* data = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, data += 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    hash = (hash ^ word) * kGoldenRatio;
    hash ^= hash >> 32;
  }
  std::uint64_t word = 0;
  std::memcpy(&word, data, left);
  hash = (hash ^ word) * kGoldenRatio;
  return hash ^ hash >> 32;
}

}  // namespace forge::text
