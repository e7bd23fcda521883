// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/stop_token.h"

namespace forge::io {

/// Which answers 301, 302, 303, 307 and 308 are followed. An https address never leads to an http one.
enum class Redirects {
  kNone,  // the redirect itself is the answer
  kAny
};

/// Why there is no complete answer.
enum class HttpFailure {
  kNone,
  kUnreachable,  // no address, no connection, no TLS
  kCut,          // the connection ended or stalled before the answer did
  kTooLong,      // the body is longer than max_body_bytes
  kDeclined,     // on_head or on_body returned false
  kRefused,      // an address or a redirect that is not followed
  kStopped       // the stop token
};

struct HttpResponse {
  int status = 0;                              // 0 if no head came
  std::string url;                             // where it came from, after redirects
  std::string redirect_url;                    // where a redirect that was not followed leads
  std::map<std::string, std::string> headers;  // names in lower case; of a repeated one the last
  std::string body;                            // what on_body did not take
  std::optional<double> retry_after_seconds;   // Retry-After, in either form
  HttpFailure failure = HttpFailure::kNone;
  std::string problem;  // a failure in words

  std::optional<std::string> Header(const std::string& lower_case_name) const;
};

/// Whether scheme, host and port are the same; false for what is no address.
bool HaveSameOrigin(const std::string& url, const std::string& other);

struct HttpRequest {
  std::string url;    // http or https
  bool head = false;  // HEAD instead of GET
  std::vector<std::pair<std::string, std::string>> headers;
  /// Sent as "Authorization: Bearer ..." to the origin of `url` only, never to where a redirect leads.
  std::string bearer_token;
  Redirects redirects = Redirects::kAny;
  std::uint64_t max_body_bytes = 64 << 20;  // of a body that is kept in memory
  /// Both may throw; it comes out of Send. The first sees the head of the answer (after redirects) before its
  /// body; false ends the request.
  std::function<bool(const HttpResponse&)> on_head;
  /// Takes the body of a 2xx answer piece by piece; false ends the request.
  std::function<bool(std::span<const std::byte>)> on_body;
};

struct HttpClientOptions {
  double connect_timeout_seconds = 10;
  double stall_timeout_seconds = 30;  // less than one byte a second for so long counts as cut
  std::string user_agent = "forge";
  /// Certificates to trust in place of those of the system, a PEM file or a folder as c_rehash makes them;
  /// empty: the system's. What cannot be read is trouble on the way, as an answer says.
  std::filesystem::path certificates = {};
  const StopToken* stop = nullptr;  // looked at about once a second, and with every piece
};

/// HTTP over libcurl, which is opened when the first client is made: it brings 30 libraries, and commands
/// that use no network should not wait for them. One client keeps its connections; use it from one thread at
/// a time. Trouble on the way is part of an answer, because whoever asks decides whether to try again. The
/// constructor throws Error(kEnvironment) if libcurl is not installed.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  [[nodiscard]] HttpResponse Send(const HttpRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forge::io
