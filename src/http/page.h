// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <string>
#include <string_view>

namespace forge::http {

/// The page with every __NONCE__ replaced: its inline style and script, allowed by `nonce`, which the policy
/// below names too.
std::string WithNonce(std::string_view page, std::string_view nonce);
/// Content-Security-Policy: nothing from elsewhere, no inline code but what carries the nonce.
std::string ContentSecurityPolicy(std::string_view nonce);
/// 128 random bits in hexadecimal, new for every response.
std::string NewNonce();
/// Answers with a built-in page, under a policy and a nonce of its own.
void SetPage(std::string_view page, httplib::Response& response);

}  // namespace forge::http
