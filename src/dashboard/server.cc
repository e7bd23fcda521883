// SPDX-License-Identifier: Apache-2.0
#include "dashboard/server.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "dashboard/event_stream.h"
#include "dashboard/http_server.h"
#include "dashboard/page.h"
#include "dashboard/request_guard.h"

namespace forge::dashboard {
namespace {

constexpr int kThreads = Server::kMaxStreams + 16;  // a stream keeps its thread; the rest answers requests
constexpr auto kStopPoll = std::chrono::milliseconds(50);

std::vector<std::string> HeaderValues(const httplib::Request& request, const char* name) {
  std::vector<std::string> values;
  const auto [begin, end] = request.headers.equal_range(name);
  for (auto header = begin; header != end; ++header) values.push_back(header->second);
  return values;
}

void SetJson(httplib::Response& response, const Json& json) {
  response.set_header("Cache-Control", "no-store");
  response.set_content(track::DumpJson(json), "application/json");
}

void SetError(httplib::Response& response, int status, const Error::Fields& fields) {
  response.status = status;
  SetJson(response, {{"error", {{"what", fields.what}, {"why", fields.why}, {"fix", fields.fix}}}});
}

}  // namespace

struct Server::Core {
  explicit Core(ServerOptions given) : options(std::move(given)) {}

  httplib::Server::HandlerResponse Guard(const httplib::Request& request, httplib::Response& response);
  void ServePage(httplib::Response& response);
  void ServeRuns(httplib::Response& response);
  void ServeRun(const std::string& run, httplib::Response& response);
  void ServeEvents(const httplib::Request& request, httplib::Response& response);
  void SetUp();

  ServerOptions options;
  HttpServer http{kThreads, options.request_timeout};
  int port = 0;
  std::atomic<int> streams{0};
};

httplib::Server::HandlerResponse Server::Core::Guard(const httplib::Request& request,
                                                     httplib::Response& response) {
  if (const auto reason =
          RefusalReason(HeaderValues(request, "Host"), HeaderValues(request, "Origin"), port)) {
    SetError(response, 403,
             {.what = "refused", .why = *reason, .fix = fmt::format("open http://localhost:{}", port)});
    return httplib::Server::HandlerResponse::Handled;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    response.set_header("Allow", "GET, HEAD");
    SetError(response, 405, {.what = "refused", .why = "the dashboard only reads", .fix = "use GET"});
    return httplib::Server::HandlerResponse::Handled;
  }
  return httplib::Server::HandlerResponse::Unhandled;
}

void Server::Core::ServePage(httplib::Response& response) {
  const std::string nonce = NewNonce();
  response.set_header("Content-Security-Policy", ContentSecurityPolicy(nonce));
  response.set_header("Cache-Control", "no-store");  // the nonce is for this response only
  response.set_content(Page(nonce), "text/html; charset=utf-8");
}

void Server::Core::ServeRuns(httplib::Response& response) {
  SetJson(response, RunsAnswer(options.folder, options.clock));
}

void Server::Core::ServeRun(const std::string& run, httplib::Response& response) {
  track::Store store = track::Store::Open(options.folder, track::Store::Mode::kRead, options.clock);
  SetJson(response, RunAnswer(store, run));
}

void Server::Core::ServeEvents(const httplib::Request& request, httplib::Response& response) {
  if (streams.fetch_add(1) >= kMaxStreams) {
    --streams;
    response.set_header("Retry-After", "5");
    SetError(response, 503,
             {.what = "too many pages are open",
              .why = fmt::format("{} streams are the limit", kMaxStreams),
              .fix = "close some"});
    return;
  }
  const std::string seen = request.has_header("Last-Event-ID") ? request.get_header_value("Last-Event-ID")
                                                               : request.get_param_value("after");
  auto stream = std::make_shared<EventStream>(options.folder, request.get_param_value("run"),
                                              ParseCursor(seen), options.clock);
  response.set_header("Cache-Control", "no-store");
  response.set_chunked_content_provider(
      "text/event-stream",
      // The library calls it until it returns false or the server stops.
      [this, stream](std::size_t, httplib::DataSink& sink) {
        std::string text;
        try {
          text = stream->Poll();
        } catch (
            const Error&) {  // the store went away or is damaged: close; the page asks again and is told why
          return false;
        }
        if (!text.empty() && !sink.write(text.data(), text.size())) return false;
        return http.Sleep(std::chrono::milliseconds(EventStream::kPollMs)) && sink.is_writable();
      },
      [this](bool) { --streams; });
}

void Server::Core::SetUp() {
  http.set_payload_max_length(0);
  // Not the library's SO_REUSEPORT: a second dashboard on the same port must fail, not share it.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  http.set_default_headers({{"X-Content-Type-Options", "nosniff"},
                            {"Referrer-Policy", "no-referrer"},
                            {"X-Frame-Options", "DENY"},
                            {"Cross-Origin-Opener-Policy", "same-origin"},
                            {"Cross-Origin-Resource-Policy", "same-origin"}});
  http.set_pre_routing_handler(
      [this](const auto& request, auto& response) { return Guard(request, response); });
  http.set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, std::exception_ptr exception) {
        try {
          std::rethrow_exception(exception);
        } catch (const Error& error) {
          SetError(response, error.kind() == ErrorKind::kInput ? 404 : 500, error.fields());
        } catch (const std::exception& error) {
          SetError(response, 500,
                   {.what = "the dashboard failed", .why = error.what(), .fix = "please report it"});
        }
      });
  http.Get("/", [this](const auto&, auto& response) { ServePage(response); });
  http.Get("/api/runs", [this](const auto&, auto& response) { ServeRuns(response); });
  http.Get(R"(/api/run/([A-Za-z0-9._-]+))",
           [this](const auto& request, auto& response) { ServeRun(request.matches[1], response); });
  http.Get("/api/events", [this](const auto& request, auto& response) { ServeEvents(request, response); });
  http.Get("/favicon.ico", [](const auto&, auto& response) { response.status = 204; });
}

Server::Server(ServerOptions options) : core_(std::make_unique<Core>(std::move(options))) {
  const std::string address = LoopbackAddress(core_->options.host);
  core_->SetUp();
  core_->port = core_->http.Bind(address, core_->options.port);
  if (core_->port <= 0)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = fmt::format("cannot serve the dashboard on port {}", core_->options.port),
                 .why = "the port is in use, or not allowed for this user",
                 .fix = "choose another one with --port, or --port 0 for any free one"});
}

Server::~Server() = default;

int Server::port() const { return core_->port; }

std::string Server::Url() const {
  return fmt::format("http://{}:{}",
                     LoopbackAddress(core_->options.host) == "::1" ? "[::1]" : core_->options.host,
                     core_->port);
}

void Server::Run(const StopToken& stop) {
  std::atomic<bool> ended{false};
  bool served = false;
  std::thread listener([&] {
    served = core_->http.listen_after_bind();
    ended = true;
  });
  while (!stop.stop_requested() && !ended) std::this_thread::sleep_for(kStopPoll);
  // The library ignores a stop before it listens: a request that came at once would be lost.
  while (!core_->http.is_running() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  core_->http.StopNow();
  listener.join();
  if (!served)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = fmt::format("the dashboard on port {} ended by itself", core_->port),
                 .why = "the system does not let it accept connections any more",
                 .fix = "start it again; the run goes on without it"});
}

}  // namespace forge::dashboard
