// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

namespace forge::dashboard {

/// httplib::Server, one request per connection, with three things that the library (0.11) lacks:
///  - A queue of connections that wait to be accepted as long as the system allows. The library's holds five;
///  the
///    system drops the others, and their clients hang for seconds until they try again or give up.
///  - One time limit for the whole request. The library's starts anew with every byte, so that a client which
///    sends nothing, or slowly, keeps its thread.
///  - A stop that waits for no client.
class HttpServer : public httplib::Server {
 public:
  /// `threads`: connections served at a time. `request_timeout`: from the accepted connection to the end of
  /// the request's header; also how long an answer waits for a client that does not read.
  HttpServer(int threads, std::chrono::milliseconds request_timeout);

  /// Binds and listens; `port` 0 takes any free one. Returns the port, or -1 when that is not possible.
  int Bind(const std::string& address, int port);

  /// Makes listen_after_bind() return: accepts no more and cuts every connection, also in the middle of an
  /// answer. Only once is_running().
  void StopNow();

  /// Sleeps in a handler; false as soon as the server stops.
  [[nodiscard]] bool Sleep(std::chrono::milliseconds duration);

 private:
  bool process_and_close_socket(socket_t socket) override;
  [[nodiscard]] bool Add(socket_t socket);
  void Remove(socket_t socket);

  const std::chrono::milliseconds request_timeout_;
  std::mutex mutex_;  // guards the two below
  bool stopped_ = false;
  std::set<socket_t> connections_;
  std::condition_variable stopped_now_;
};

}  // namespace forge::dashboard
