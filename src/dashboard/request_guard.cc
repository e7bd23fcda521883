// SPDX-License-Identifier: Apache-2.0
#include "dashboard/request_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace forge::dashboard {
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
  if (hosts.size() != 1 || !IsOwnHost(hosts[0], port)) return "the Host header is not this dashboard's";
  for (const std::string& origin : origins)
    if (origin.rfind(kScheme, 0) != 0 || !IsOwnHost(origin.substr(kScheme.size()), port))
      return "the request comes from a foreign page";
  return std::nullopt;
}

std::string LoopbackAddress(const std::string& host) {
  if (host == "localhost" || host == "127.0.0.1") return "127.0.0.1";
  if (host == "::1" || host == "[::1]") return "::1";
  throw Error(
      {.kind = ErrorKind::kUsage,
       .what = "cannot serve the dashboard on " + host,
       .why = "it has no login, so it listens on this machine only: localhost, 127.0.0.1 or ::1",
       .fix = "use --host localhost, and from elsewhere a tunnel: ssh -L 8501:localhost:8501 <machine>"});
}

}  // namespace forge::dashboard
