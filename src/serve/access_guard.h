// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <optional>
#include <string>
#include <vector>

#include "serve/api_error.h"

namespace forge::serve {

struct AccessRules {
  int port = 0;
  bool is_loopback = true;                // listens on this machine's own address only
  std::string api_key;                    // empty: none is asked for
  std::vector<std::string> cors_origins;  // of pages that may ask, "http://localhost:3000"; "*": any
  std::size_t max_body_bytes = 4 << 20;
};

/// Why a request is refused before its body is read, or nothing:
///   403  a foreign Host (on a loopback address) or a page of a foreign origin
///   401  a missing or wrong key; the page, /health and preflights need none
///   404  a path that is not there; 405 a method that it does not have (sets Allow)
///   411, 413, 415  a body without a length, too long, or of a form that is not read
std::optional<ApiError> Refusal(const AccessRules& rules, const httplib::Request& request,
                                httplib::Response& response);

/// The origin to allow in the answer, if a page of one of the cors_origins asks.
std::optional<std::string> AllowedOrigin(const AccessRules& rules, const httplib::Request& request);

/// The route that a path belongs to, for counting: one of a few words.
std::string RouteOf(const std::string& path);

}  // namespace forge::serve
