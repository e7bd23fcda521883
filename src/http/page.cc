// SPDX-License-Identifier: Apache-2.0
#include "http/page.h"

#include <fmt/format.h>

#include <random>

namespace forge::http {

std::string WithNonce(std::string_view page, std::string_view nonce) {
  constexpr std::string_view kMark = "__NONCE__";
  std::string result(page);
  for (std::size_t at = result.find(kMark); at != std::string::npos;
       at = result.find(kMark, at + nonce.size()))
    result.replace(at, kMark.size(), nonce);
  return result;
}

std::string ContentSecurityPolicy(std::string_view nonce) {
  return fmt::format(
      "default-src 'self'; script-src 'nonce-{}'; style-src 'nonce-{}'; img-src 'self' data:; connect-src "
      "'self'; "
      "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      nonce, nonce);
}

std::string NewNonce() {
  std::random_device device;  // not the seeded generator: this must not be guessable
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

void SetPage(std::string_view page, httplib::Response& response) {
  const std::string nonce = NewNonce();
  response.set_header("Content-Security-Policy", ContentSecurityPolicy(nonce));
  response.set_header("Cache-Control", "no-store");  // the nonce is for this response only
  response.set_content(WithNonce(page, nonce), "text/html; charset=utf-8");
}

}  // namespace forge::http
