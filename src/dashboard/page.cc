// SPDX-License-Identifier: Apache-2.0
#include "dashboard/page.h"

#include <fmt/format.h>

#include <random>

namespace forge::dashboard {

extern const unsigned char kPageBytes[];  // page_bytes.cc, made by embed_page.cmake
extern const std::size_t kPageSize;

std::string_view PageSource() { return {reinterpret_cast<const char*>(kPageBytes), kPageSize}; }

std::string Page(std::string_view nonce) {
  constexpr std::string_view kMark = "__NONCE__";
  std::string page(PageSource());
  for (std::size_t at = page.find(kMark); at != std::string::npos; at = page.find(kMark, at + nonce.size()))
    page.replace(at, kMark.size(), nonce);
  return page;
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

}  // namespace forge::dashboard
