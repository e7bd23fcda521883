// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/stop_token.h"
#include "serve/answer_plan.h"
#include "serve/scheduler.h"
#include "serve/served_model.h"

namespace forge::serve {

struct ServerOptions {
  std::string host = "localhost";
  int port = 8080;      // 0: any free one
  std::string api_key;  // empty: none, and only on this machine
  std::vector<std::string> cors_origins;
  std::size_t max_body_bytes = 4 << 20;
  std::chrono::milliseconds request_timeout{10'000};  // http/http_server.h
  std::chrono::milliseconds drain{30'000};            // for answers that run when it is told to stop
  SchedulerLimits scheduler;
  PlanLimits plan;  // could_run is set by the server
};

/// One model behind OpenAI's HTTP API (docs/serve.md): GET /v1/models, POST /v1/completions and
/// /v1/chat/completions; and /health, /metrics and a chat page at /. A request that is not answered at once
/// waits in a fair queue (scheduler.h). One whose client goes away ends before the next step of the model.
class Server {
 public:
  /// Binds the port. Throws Error(kUsage) for a host that others can reach without a key, Error(kEnvironment)
  /// when the port is taken.
  Server(const ServedModel& model, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  /// "http://localhost:8080"
  std::string Url() const;

  /// Serves until a stop is requested; then refuses what is new, finishes what runs, for at most
  /// options.drain, and cuts the rest. Returns the number of answers that were cut. Throws
  /// Error(kEnvironment) when it cannot accept connections any more.
  int Run(const StopToken& stop);

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace forge::serve
