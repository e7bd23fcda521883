// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace forge::http {

/// Why a request must be refused, or nothing. A server on the loopback address answers only pages of its own:
///   Host    exactly one, and localhost, 127.0.0.1 or [::1] with our port. A page that has its own name
///           resolve to 127.0.0.1 (DNS rebinding) sends its own name here.
///   Origin  none, or http:// with one of those hosts; "null" (sandboxed frames, files) is foreign.
std::optional<std::string> RefusalReason(const std::vector<std::string>& hosts,
                                         const std::vector<std::string>& origins, int port);

/// The loopback address that "localhost", "127.0.0.1" or "::1" means; nothing for a host that others can
/// reach.
std::optional<std::string> LoopbackAddress(const std::string& host);

/// "http://localhost:8501"; an IPv6 address in brackets.
std::string UrlOf(const std::string& host, int port);

}  // namespace forge::http
