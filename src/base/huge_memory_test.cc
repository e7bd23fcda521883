// SPDX-License-Identifier: Apache-2.0
#include "base/huge_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <new>

namespace forge {
namespace {

TEST(HugeMemory, IsAlignedZeroAndWritableToItsEnd) {
  HugeMemory memory(5'000'000);
  EXPECT_GE(memory.size(), 5'000'000u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 4096, 0u);
  EXPECT_EQ(memory.data()[4'999'999], std::byte{0});
  memory.data()[4'999'999] = std::byte{7};
  HugeMemory moved = std::move(memory);
  EXPECT_EQ(moved.data()[4'999'999], std::byte{7});
  EXPECT_FALSE(HugeMemory());
  EXPECT_FALSE(HugeMemory(0));
}

TEST(HugeMemory, SaysWhenThereIsNone) {
  EXPECT_THROW(HugeMemory(std::numeric_limits<std::size_t>::max() / 2), std::bad_alloc);
}

}  // namespace
}  // namespace forge
