// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace forge {

/// Philox 4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
/// A pure function of counter and key, so a stream needs no saved state and no order.
std::array<std::uint32_t, 4> Philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// Random numbers keyed by (seed, purpose, index): the same triple gives the same numbers, on any thread and
/// after any restart. `purpose` is a short name such as "evolve/mutate"; `index` counts whatever is drawn
/// for.
class Random {
 public:
  Random(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0);

  std::uint32_t NextUint32();
  std::uint64_t NextUint64();
  /// Uniform in [0, 1), 53 bits.
  double Uniform();
  /// Uniform integer in [0, bound), bound > 0, without bias.
  std::uint32_t Below(std::uint32_t bound);
  /// Standard normal (Box-Muller; both values of a pair are used).
  double Normal();

 private:
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
  double spare_normal_ = 0;
  bool has_spare_ = false;
};

/// FNV-1a of the text; stable across machines and versions.
std::uint64_t StableHash(std::string_view text);

}  // namespace forge
