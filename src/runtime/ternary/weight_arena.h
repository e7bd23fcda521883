// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

namespace forge::runtime {

/// Memory for the matrices of a model, one behind the other in large pages: matrices of small models are
/// smaller than such a page. Memory lives as long as what was cut from it, also beyond the arena.
class WeightArena {
 public:
  /// Zeros, at a multiple of 64 bytes. Throws std::bad_alloc.
  std::shared_ptr<std::byte> Allocate(std::size_t bytes);

 private:
  std::shared_ptr<std::byte> chunk_;
  std::size_t used_ = 0, size_ = 0;
};

}  // namespace forge::runtime
