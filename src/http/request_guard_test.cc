// SPDX-License-Identifier: Apache-2.0
#include "http/request_guard.h"

#include <gtest/gtest.h>

namespace forge::http {
namespace {

TEST(RequestGuard, WantsExactlyOneHost) {
  EXPECT_TRUE(RefusalReason({}, {}, 80));
  EXPECT_TRUE(RefusalReason({"localhost:1", "evil"}, {}, 1));
  EXPECT_FALSE(RefusalReason({"LOCALHOST:1"}, {}, 1));
  EXPECT_FALSE(RefusalReason({"[::1]:1"}, {}, 1));
  EXPECT_FALSE(RefusalReason({"127.0.0.1"}, {}, 80));
  EXPECT_TRUE(RefusalReason({"localhost:1"}, {"http://localhost:1", "http://evil"}, 1));
}

TEST(RequestGuard, KnowsTheLoopbackAddressesOnly) {
  EXPECT_EQ(LoopbackAddress("localhost"), "127.0.0.1");
  EXPECT_EQ(LoopbackAddress("::1"), "::1");
  for (const char* host : {"0.0.0.0", "127.0.0.1.example", "", "::"})
    EXPECT_FALSE(LoopbackAddress(host)) << host;
}

TEST(RequestGuard, PutsAnIpv6AddressIntoBrackets) {
  EXPECT_EQ(UrlOf("localhost", 80), "http://localhost:80");
  EXPECT_EQ(UrlOf("::1", 1), "http://[::1]:1");
  EXPECT_EQ(UrlOf("[::1]", 1), "http://[::1]:1");
}

}  // namespace
}  // namespace forge::http
