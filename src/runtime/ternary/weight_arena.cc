// SPDX-License-Identifier: Apache-2.0
#include "runtime/ternary/weight_arena.h"

#include <algorithm>

#include "base/huge_memory.h"

namespace forge::runtime {
namespace {

constexpr std::size_t kChunk = 64u << 20;  // what is not used of it is never touched, and takes no memory

}  // namespace

std::shared_ptr<std::byte> WeightArena::Allocate(std::size_t bytes) {
  const std::size_t padded = (bytes + 63) / 64 * 64;
  if (chunk_ == nullptr || used_ + padded > size_) {
    size_ = std::max(padded, kChunk);
    auto memory = std::make_shared<HugeMemory>(size_);
    chunk_ = std::shared_ptr<std::byte>(memory, memory->data());
    used_ = 0;
  }
  std::shared_ptr<std::byte> piece(chunk_, chunk_.get() + used_);
  used_ += padded;
  return piece;
}

}  // namespace forge::runtime
