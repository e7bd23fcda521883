// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace forge::dashboard {

/// web/dashboard.html as it was built in.
std::string_view PageSource();
/// The page with its inline style and script allowed by `nonce`, which the policy below names too.
std::string Page(std::string_view nonce);
/// Content-Security-Policy: nothing from elsewhere, no inline code but what carries the nonce.
std::string ContentSecurityPolicy(std::string_view nonce);
/// 128 random bits in hexadecimal, new for every response.
std::string NewNonce();

}  // namespace forge::dashboard
