// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "base/stop_token.h"
#include "track/records.h"

namespace forge::dashboard {

struct ServerOptions {
  std::filesystem::path folder = "output";  // with forge.db; may have no store yet
  std::string host = "localhost";
  int port = 8501;                                  // 0: any free one
  std::chrono::milliseconds request_timeout{5000};  // http/http_server.h
  track::Clock clock = track::SystemClock();
};

/// The dashboard: GET / (the page), /api/runs, /api/run/ID and /api/events?run=ID&after=CURSOR (api.h,
/// event_stream.h). It only reads, never writes. Every answer carries headers that keep other pages out; a
/// request with a foreign Host or Origin gets 403, a method other than GET and HEAD 405, the 65th event
/// stream 503.
class Server {
 public:
  static constexpr int kMaxStreams = 64;

  /// Binds the port. Throws Error(kUsage) for a host that is not this machine, Error(kEnvironment) when the
  /// port is taken.
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  /// "http://localhost:8501"
  std::string Url() const;
  /// Serves until a stop is requested, then cuts all connections and returns within a second, whatever the
  /// clients do. Throws Error(kEnvironment) when it cannot accept connections any more.
  void Run(const StopToken& stop);

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace forge::dashboard
