// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace forge {

std::array<std::uint32_t, 4> Philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;  // constants of the paper
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

std::uint64_t StableHash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

Random::Random(std::uint64_t seed, std::string_view purpose, std::uint64_t index) {
  const std::uint64_t purpose_hash = StableHash(purpose);
  // The purpose goes into the key, the index into the counter; counter_[0] counts the blocks of the stream.
  const std::uint64_t mixed = seed * 0x9E3779B97F4A7C15ULL ^ purpose_hash;
  key_ = {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
  counter_ = {0, static_cast<std::uint32_t>(purpose_hash >> 32), static_cast<std::uint32_t>(index),
              static_cast<std::uint32_t>(index >> 32)};
}

std::uint32_t Random::NextUint32() {
  if (used_ == 4) {
    block_ = Philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

std::uint64_t Random::NextUint64() {
  const std::uint64_t high = NextUint32();
  return high << 32 | NextUint32();
}

double Random::Uniform() { return static_cast<double>(NextUint64() >> 11) * 0x1.0p-53; }

std::uint32_t Random::Below(std::uint32_t bound) {
  FORGE_CHECK(bound > 0);
  const std::uint32_t threshold =
      (0u - bound) % bound;  // values below it would favour small results (Lemire)
  for (;;) {
    const std::uint64_t product = std::uint64_t{NextUint32()} * bound;
    if (static_cast<std::uint32_t>(product) >= threshold) return static_cast<std::uint32_t>(product >> 32);
  }
}

double Random::Normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));  // 1 - u is in (0, 1]
  const double angle = 2 * std::numbers::pi * Uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

}  // namespace forge
