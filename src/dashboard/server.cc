// SPDX-License-Identifier: Apache-2.0
#include "dashboard/server.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "dashboard/event_stream.h"
#include "dashboard/page.h"
#include "http/http_server.h"
#include "http/page.h"
#include "http/request_guard.h"

namespace forge::dashboard {
namespace {

constexpr int kThreads = Server::kMaxStreams + 16;  // a stream keeps its thread; the rest answers requests

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
  void ServeRuns(httplib::Response& response);
  void ServeRun(const std::string& run, httplib::Response& response);
  void ServeEvents(const httplib::Request& request, httplib::Response& response);
  void SetUp();

  ServerOptions options;
  http::HttpServer http{{.threads = kThreads, .request_timeout = options.request_timeout}};
  int port = 0;
  std::atomic<int> streams{0};
};

httplib::Server::HandlerResponse Server::Core::Guard(const httplib::Request& request,
                                                     httplib::Response& response) {
  if (const auto reason = http::RefusalReason(http::HeaderValues(request, "Host"),
                                              http::HeaderValues(request, "Origin"), port)) {
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
  http.Get("/", [](const auto&, auto& response) { http::SetPage(PageSource(), response); });
  http.Get("/api/runs", [this](const auto&, auto& response) { ServeRuns(response); });
  http.Get(R"(/api/run/([A-Za-z0-9._-]+))",
           [this](const auto& request, auto& response) { ServeRun(request.matches[1], response); });
  http.Get("/api/events", [this](const auto& request, auto& response) { ServeEvents(request, response); });
  http.Get("/favicon.ico", [](const auto&, auto& response) { response.status = 204; });
}

Server::Server(ServerOptions options) : core_(std::make_unique<Core>(std::move(options))) {
  const std::optional<std::string> address = http::LoopbackAddress(core_->options.host);
  if (!address)
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = "cannot serve the dashboard on " + core_->options.host,
         .why = "it has no login, so it listens on this machine only: localhost, 127.0.0.1 or ::1",
         .fix = "use --host localhost, and from elsewhere a tunnel: ssh -L 8501:localhost:8501 <machine>"});
  core_->SetUp();
  core_->port = core_->http.Bind(*address, core_->options.port);
  if (core_->port <= 0)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = fmt::format("cannot serve the dashboard on port {}", core_->options.port),
                 .why = "the port is in use, or not allowed for this user",
                 .fix = "choose another one with --port, or --port 0 for any free one"});
}

Server::~Server() = default;

int Server::port() const { return core_->port; }

std::string Server::Url() const { return http::UrlOf(core_->options.host, core_->port); }

void Server::Run(const StopToken& stop) {
  if (!core_->http.ServeUntil([&] { return stop.stop_requested(); }))
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = fmt::format("the dashboard on port {} ended by itself", core_->port),
                 .why = "the system does not let it accept connections any more",
                 .fix = "start it again; the run goes on without it"});
}

}  // namespace forge::dashboard
