// SPDX-License-Identifier: Apache-2.0
#include "base/huge_memory.h"

#include <sys/mman.h>

#include <new>

namespace forge {
namespace {

constexpr std::size_t kHugePage = 2 << 20;

}  // namespace

HugeMemory::HugeMemory(std::size_t bytes) {
  if (bytes == 0) return;
  const std::size_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  madvise(mapped, size, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(mapped);
  size_ = size;
}

HugeMemory::~HugeMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace forge
