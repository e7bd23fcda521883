// SPDX-License-Identifier: Apache-2.0
#include "io/stream_bytes.h"

#include <gtest/gtest.h>

#include <vector>

namespace forge::io {
namespace {

TEST(StreamBytes, CopiesFromAnyAddressToAnyOtherAndNothingElse) {
  std::vector<std::byte> from(400);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
  for (const std::size_t size : {0, 1, 15, 63, 64, 65, 127, 128, 200, 300})
    for (std::size_t at = 0; at < 64; ++at) {
      std::vector<std::byte> to(400, std::byte{0xEE}), expected = to;
      StreamBytes(to.data() + at, from.data() + at % 5, size);
      std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at % 5), size,
                  expected.begin() + static_cast<std::ptrdiff_t>(at));
      ASSERT_EQ(to, expected) << size << " bytes to " << at;
    }
}

}  // namespace
}  // namespace forge::io
