// SPDX-License-Identifier: Apache-2.0
#include "http/request_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace forge::http {
namespace {

bool IsOwnHost(std::string host, int port) {
  std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* own : {"localhost", "127.0.0.1", "[::1]"})
    if (host == fmt::format("{}:{}", own, port) || (port == 80 && host == own)) return true;
  return false;
}

}  // namespace

std::optional<std::string> RefusalReason(const std::vector<std::string>& hosts,
                                         const std::vector<std::string>& origins, int port) {
  constexpr std::string_view kScheme = "http://";
  if (hosts.size() != 1 || !IsOwnHost(hosts[0], port)) return "the Host header is not this server's";
  for (const std::string& origin : origins)
    if (origin.rfind(kScheme, 0) != 0 || !IsOwnHost(origin.substr(kScheme.size()), port))
      return "the request comes from a foreign page";
  return std::nullopt;
}

std::optional<std::string> LoopbackAddress(const std::string& host) {
  if (host == "localhost" || host == "127.0.0.1") return "127.0.0.1";
  if (host == "::1" || host == "[::1]") return "::1";
  return std::nullopt;
}

std::string UrlOf(const std::string& host, int port) {
  const bool is_bare_ipv6 = host.find(':') != std::string::npos && host.front() != '[';
  return fmt::format("http://{}:{}", is_bare_ipv6 ? "[" + host + "]" : host, port);
}

}  // namespace forge::http
