// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

namespace forge {

/// Memory of its own mapping in pages of 2 MiB where the system has them: a page that is touched for the
/// first time costs as much as a few thousand bytes that are written to it, and a large buffer of small pages
/// costs 512 times that. Freed memory goes back to the system at once. Starts at a multiple of 4096 bytes.
class HugeMemory {
 public:
  HugeMemory() = default;
  /// Throws std::bad_alloc.
  explicit HugeMemory(std::size_t bytes);
  ~HugeMemory();
  HugeMemory(HugeMemory&& other) noexcept { *this = std::move(other); }
  HugeMemory& operator=(HugeMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace forge
