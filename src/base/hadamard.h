// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace forge {

/// Each block of x times Sylvester's Hadamard matrix of its size, in place: rows and columns i, j hold 1, or
/// -1 where i & j has an odd number of bits. Twice is `block` times x, so that with a factor 1 / sqrt(block)
/// it is a rotation and its own inverse. Additions in one fixed order: the same bits everywhere.
///   block  a power of two that divides the size
/// Cost: log2(block) additions for each number.
inline void HadamardBlocks(std::span<float> x, std::size_t block) {
  for (std::size_t half = 1; half < block; half *= 2)
    for (std::size_t i = 0; i < x.size(); i += 2 * half)
      for (std::size_t k = i; k < i + half; ++k) {
        const float a = x[k], b = x[k + half];
        x[k] = a + b;
        x[k + half] = a - b;
      }
}

}  // namespace forge
