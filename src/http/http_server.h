// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace forge::http {

struct HttpLimits {
  int threads = 16;  // connections served at a time
  /// From the accepted connection to the last byte of the request; also how long an answer waits for a client
  /// that does not read.
  std::chrono::milliseconds request_timeout{5000};
  std::size_t max_request_bytes = 64 << 10;  // of one request, its header among them
};

/// httplib::Server, one request per connection, with what the library (0.11) lacks:
///  - A queue of connections that wait to be accepted as long as the system allows. The library's holds five;
///    the system drops the others, and their clients hang for seconds until they try again or give up.
///  - One time limit and one size limit for the whole request. The library's time starts anew with every
///  byte,
///    so that a client which sends nothing, or slowly, keeps its thread; the number of headers has no limit.
///  - A stop that waits for no client.
///  - A way to see that the client went away, for handlers that work long before they answer.
///  - A close that does not lose the answer to a request whose body was not read: closing a socket with
///  unread
///    bytes resets the connection.
/// Answers carry headers that keep other pages out, and a port is never shared with another server.
class HttpServer : public httplib::Server {
 public:
  explicit HttpServer(const HttpLimits& limits);

  /// Binds and listens; `port` 0 takes any free one. Returns the port, or -1 when that is not possible.
  int Bind(const std::string& address, int port);

  /// Serves the bound port until `stop` says so (asked 20 times a second), then cuts all connections: within
  /// a second, whatever the clients do. False when the system does not let it accept connections any more.
  [[nodiscard]] bool ServeUntil(const std::function<bool()>& stop);

  /// Sleeps in a handler; false as soon as the server stops.
  [[nodiscard]] bool Sleep(std::chrono::milliseconds duration);

  /// Whether the client of the request that this thread handles still waits for the answer: one that closed
  /// its side of the connection does not.
  static bool ClientIsThere();

 private:
  /// Accepts no more and cuts every connection, also in the middle of an answer. Only once is_running().
  void StopNow();
  bool process_and_close_socket(socket_t socket) override;
  [[nodiscard]] bool Add(socket_t socket);
  void Remove(socket_t socket);

  const HttpLimits limits_;
  std::mutex mutex_;  // guards the two below
  bool stopped_ = false;
  std::set<socket_t> connections_;
  std::condition_variable stopped_now_;
};

/// The values of all headers of that name.
std::vector<std::string> HeaderValues(const httplib::Request& request, const std::string& name);

}  // namespace forge::http
