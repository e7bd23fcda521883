// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace forge::dashboard {

/// Why a request must be refused, or nothing. The dashboard answers only pages of its own:
///   Host    exactly one, and localhost, 127.0.0.1 or [::1] with our port. A page that has its own name
///   resolve to
///           127.0.0.1 (DNS rebinding) sends its own name here.
///   Origin  none, or http:// with one of those hosts; "null" (sandboxed frames, files) is foreign.
std::optional<std::string> RefusalReason(const std::vector<std::string>& hosts,
                                         const std::vector<std::string>& origins, int port);

/// The address to listen on: "localhost", "127.0.0.1" and "::1" are allowed.
/// Throws Error(kUsage) for any other: the dashboard has no login.
std::string LoopbackAddress(const std::string& host);

}  // namespace forge::dashboard
