// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <ctime>
#include <semaphore>
#include <thread>

#include "base/error.h"
#include "http/http_server.h"
#include "http/page.h"
#include "http/request_guard.h"
#include "serve/access_guard.h"
#include "serve/answer_stream.h"
#include "serve/metrics.h"
#include "serve/page.h"

namespace forge::serve {
namespace {

using std::chrono::milliseconds;

constexpr int kSpareThreads = 16;               // for requests that need no place in the queue
constexpr std::size_t kHeaderBytes = 64 << 10;  // of a request, beside its body
constexpr milliseconds kClientPoll{10};         // how often a waiting handler looks for its client
constexpr milliseconds kCutGrace{1000};         // for the last words of answers that are cut
constexpr int kClientGone = 499;                // nginx's status for an answer that nobody waits for

/// What an answer needs until its last byte is sent; at the end it is out of the books, whatever happened.
class OpenAnswer {
 public:
  OpenAnswer(Scheduler& scheduler, Metrics& metrics, std::atomic<int>& open)
      : scheduler_(scheduler), metrics_(metrics), open_(open) {
    ++open_;
  }
  ~OpenAnswer() {
    if (ticket_ != 0) {
      scheduler_.Cancel(ticket_);  // nothing, if it ended
      const std::chrono::duration<double> all = Reply::Clock::now() - started_;
      if (const auto first = reply_->time_to_first_token())
        metrics_.ObserveFirstToken(std::chrono::duration<double>(*first).count());
      if (reply_->finished()) metrics_.ObserveAnswer(all.count());
    }
    --open_;
  }
  OpenAnswer(const OpenAnswer&) = delete;
  OpenAnswer& operator=(const OpenAnswer&) = delete;

  Scheduler::Admission Submit(const std::string& client, AnswerPlan& plan) {
    reply_ = plan.reply;
    return scheduler_.Submit(client, std::move(plan.sequences), plan.reply, ticket_);
  }

 private:
  Scheduler& scheduler_;
  Metrics& metrics_;
  std::atomic<int>& open_;
  std::shared_ptr<Reply> reply_;
  Scheduler::Ticket ticket_ = 0;
  const Reply::Clock::time_point started_ = Reply::Clock::now();
};

void SetJson(httplib::Response& response, const io::Json& json) {
  response.set_header("Cache-Control", "no-store");
  response.set_content(DumpJson(json) + "\n", "application/json");
}

void SetError(httplib::Response& response, const ApiError& error) {
  response.status = error.status;
  SetJson(response, ToJson(error));
}

/// The body, or why it cannot be had.
std::variant<std::string, ApiError> ReadBody(const httplib::ContentReader& reader, std::size_t limit) {
  std::string body;
  bool fits = true;
  const bool whole = reader([&](const char* data, std::size_t size) {
    fits = body.size() + size <= limit;
    if (fits) body.append(data, size);
    return fits;
  });
  if (!fits)
    return ApiError{.status = 413,
                    .message = fmt::format("the body has more than the {} bytes that this server takes "
                                           "(--max-body-mb)",
                                           limit),
                    .code = "body_too_large"};
  if (!whole)
    return ApiError{.status = 400, .message = "the body did not arrive as a whole", .code = "body_cut"};
  return body;
}

}  // namespace

struct Server::Core {
  Core(const ServedModel& served, ServerOptions given)
      : model(served), options(std::move(given)), scheduler(model.transformer, options.scheduler) {}

  void SetUp();
  httplib::Server::HandlerResponse Guard(const httplib::Request& request, httplib::Response& response);
  void ServeModels(httplib::Response& response) const;
  void ServeModel(const std::string& name, httplib::Response& response) const;
  void ServeHealth(httplib::Response& response) const;
  void ServeAnswer(const httplib::Request& request, httplib::Response& response,
                   const httplib::ContentReader& reader, bool is_chat);
  struct Prepared {
    ApiRequest asked;
    AnswerPlan plan;
  };
  std::variant<Prepared, ApiError> Prepare(const std::string& body, bool is_chat);
  void Answer(const httplib::Request& request, httplib::Response& response, Prepared& prepared, bool is_chat,
              const std::shared_ptr<OpenAnswer>& open);
  void AnswerWhole(const AnswerPlan& plan, const AnswerWriter& writer, int choices,
                   httplib::Response& response) const;
  bool TellRefusal(Scheduler::Admission admission, httplib::Response& response) const;
  io::Json ModelEntry() const;

  const ServedModel model;
  ServerOptions options;
  AccessRules access;
  Metrics metrics;
  std::atomic<int> open_answers{0};
  // Requests that are parsed and tokenized at a time. More would be no faster, and each takes memory: up to
  // 50 times the size of its body, and the tokenizer keeps a cache of some MB for each that it ever worked
  // for.
  std::counting_semaphore<> preparing{std::max(2, static_cast<int>(std::thread::hardware_concurrency()))};
  std::atomic<bool> stopping{false};
  const std::time_t started = std::time(nullptr);
  Scheduler scheduler;
  // Last: its threads use all above.
  http::HttpServer http{
      {.threads = static_cast<int>(options.scheduler.batch.max_sequences + options.scheduler.max_waiting) +
                  kSpareThreads,
       .request_timeout = options.request_timeout,
       .max_request_bytes = options.max_body_bytes + kHeaderBytes}};
};

httplib::Server::HandlerResponse Server::Core::Guard(const httplib::Request& request,
                                                     httplib::Response& response) {
  if (const auto origin = AllowedOrigin(access, request)) {
    response.set_header("Access-Control-Allow-Origin", *origin);
    response.set_header("Access-Control-Expose-Headers", "X-Forge-Dropped-Messages, Retry-After");
    response.set_header("Vary", "Origin");
  }
  if (const auto refusal = Refusal(access, request, response)) {
    SetError(response, *refusal);
    return httplib::Server::HandlerResponse::Handled;
  }
  if (request.method == "OPTIONS") {
    response.set_header("Access-Control-Allow-Methods", "GET, POST");
    response.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type");
    response.set_header("Access-Control-Max-Age", "600");
    response.status = 204;
    return httplib::Server::HandlerResponse::Handled;
  }
  return httplib::Server::HandlerResponse::Unhandled;
}

io::Json Server::Core::ModelEntry() const {
  return {{"id", model.name},
          {"object", "model"},
          {"created", static_cast<std::int64_t>(started)},
          {"owned_by", "forge"},
          {"max_model_len", model.context()},
          {"has_chat_template", model.chat != nullptr}};
}

void Server::Core::ServeModels(httplib::Response& response) const {
  SetJson(response, {{"object", "list"}, {"data", io::Json::array({ModelEntry()})}});
}

void Server::Core::ServeModel(const std::string& name, httplib::Response& response) const {
  if (name == model.name) return SetJson(response, ModelEntry());
  SetError(response, {.status = 404,
                      .message = fmt::format("model \"{}\" is not served here; \"{}\" is",
                                             name.substr(0, 200), model.name),
                      .param = "model",
                      .code = "model_not_found"});
}

void Server::Core::ServeHealth(httplib::Response& response) const {
  const Scheduler::State state = scheduler.state();
  if (stopping) response.status = 503;
  SetJson(response, {{"status", stopping ? "stopping" : "ok"},
                     {"model", model.name},
                     {"running", state.running},
                     {"waiting", state.waiting}});
}

bool Server::Core::TellRefusal(Scheduler::Admission admission, httplib::Response& response) const {
  if (admission == Scheduler::Admission::kTaken) return false;
  if (admission == Scheduler::Admission::kClosed) {
    response.set_header("Retry-After", "10");
    SetError(response, {.status = 503,
                        .message = "the server is stopping and takes nothing new",
                        .type = "server_error",
                        .code = "server_stopping"});
    return true;
  }
  // The time until the queue has moved on by one, if answers take as long as they did.
  const double wait =
      metrics.MeanAnswerSeconds() / static_cast<double>(options.scheduler.batch.max_sequences);
  response.set_header("Retry-After", std::to_string(std::clamp(static_cast<int>(std::ceil(wait)), 1, 60)));
  SetError(response,
           {.status = 429,
            .message = fmt::format("{} requests are waiting, and that is the limit (--max-waiting); "
                                   "try again later",
                                   options.scheduler.max_waiting),
            .type = "rate_limit_error",
            .code = "queue_full"});
  return true;
}

void Server::Core::AnswerWhole(const AnswerPlan& plan, const AnswerWriter& writer, int choices,
                               httplib::Response& response) const {
  std::vector<ReplyEvent> events;
  while (!plan.reply->finished()) {
    for (ReplyEvent& event : plan.reply->Take(kClientPoll)) events.push_back(std::move(event));
    if (!http::HttpServer::ClientIsThere()) {
      response.status = kClientGone;
      return;
    }
  }
  SetJson(response, writer.Whole(events, choices, {plan.prompt_tokens, plan.reply->completion_tokens()}));
}

std::variant<Server::Core::Prepared, ApiError> Server::Core::Prepare(const std::string& body, bool is_chat) {
  preparing.acquire();
  const std::unique_ptr<std::counting_semaphore<>, void (*)(std::counting_semaphore<>*)> held(
      &preparing, [](std::counting_semaphore<>* semaphore) { semaphore->release(); });
  std::variant<ApiRequest, ApiError> asked = is_chat ? ParseChatRequest(body) : ParseCompletionRequest(body);
  if (auto* error = std::get_if<ApiError>(&asked)) return std::move(*error);
  std::variant<AnswerPlan, ApiError> plan =
      PlanAnswer(model, options.plan, std::get<ApiRequest>(asked), is_chat);
  if (auto* error = std::get_if<ApiError>(&plan)) return std::move(*error);
  return Prepared{std::move(std::get<ApiRequest>(asked)), std::move(std::get<AnswerPlan>(plan))};
}

void Server::Core::Answer(const httplib::Request& request, httplib::Response& response, Prepared& prepared,
                          bool is_chat, const std::shared_ptr<OpenAnswer>& open) {
  const ApiRequest& asked = prepared.asked;
  AnswerPlan& plan = prepared.plan;
  const int choices = static_cast<int>(plan.sequences.size());
  const AnswerWriter writer(model.tokenizer, model.name,
                            {.is_chat = is_chat,
                             .has_logprobs = asked.logprobs.has_value(),
                             .has_usage_chunk = asked.include_usage});
  const std::string client = asked.user.empty() ? "address " + request.remote_addr : "user " + asked.user;
  if (TellRefusal(open->Submit(client, plan), response)) return;
  if (plan.dropped_messages > 0)
    response.set_header("X-Forge-Dropped-Messages", std::to_string(plan.dropped_messages));
  if (!asked.stream) return AnswerWhole(plan, writer, choices, response);
  const auto stream =
      std::make_shared<AnswerStream>(plan.reply, writer, is_chat, choices,
                                     asked.include_usage ? std::optional(plan.prompt_tokens) : std::nullopt);
  response.set_header("Cache-Control", "no-store");
  response.set_header("X-Accel-Buffering", "no");
  response.set_chunked_content_provider(
      "text/event-stream",
      // The library calls it until it returns false or says that it is done; it holds `open` as long.
      [stream, open](std::size_t, httplib::DataSink& sink) {
        const std::string text = stream->Next(kClientPoll);
        if (!http::HttpServer::ClientIsThere()) return false;
        if (!text.empty() && !sink.write(text.data(), text.size())) return false;
        if (stream->ended()) sink.done();
        return true;
      });
}

void Server::Core::ServeAnswer(const httplib::Request& request, httplib::Response& response,
                               const httplib::ContentReader& reader, bool is_chat) {
  const auto open = std::make_shared<OpenAnswer>(scheduler, metrics, open_answers);
  const std::variant<std::string, ApiError> body = ReadBody(reader, options.max_body_bytes);
  if (const auto* error = std::get_if<ApiError>(&body)) return SetError(response, *error);
  std::variant<Prepared, ApiError> prepared = Prepare(std::get<std::string>(body), is_chat);
  if (const auto* error = std::get_if<ApiError>(&prepared)) return SetError(response, *error);
  Answer(request, response, std::get<Prepared>(prepared), is_chat, open);
}

void Server::Core::SetUp() {
  options.plan.could_run = [this](const runtime::ServingRequest& request) {
    return scheduler.CouldRun(request);
  };
  options.plan.max_tokens = std::min(options.plan.max_tokens, model.context());
  http.set_pre_routing_handler(
      [this](const auto& request, auto& response) { return Guard(request, response); });
  http.set_exception_handler([](const auto&, httplib::Response& response, std::exception_ptr trouble) {
    SetError(response, ToApiError(trouble));
  });
  // What the library refuses by itself: a request line or headers that it cannot read.
  http.set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty() || response.status == kClientGone) return;
    SetError(response, {.status = response.status,
                        .message = "the request is not HTTP that this server reads",
                        .code = "bad_http"});
  });
  http.set_logger([this](const httplib::Request& request, const httplib::Response& response) {
    metrics.CountRequest(RouteOf(request.path), response.status);
  });
  http.Get("/", [](const auto&, auto& response) { http::SetPage(PageSource(), response); });
  http.Get("/favicon.ico", [](const auto&, auto& response) { response.status = 204; });
  http.Get("/health", [this](const auto&, auto& response) { ServeHealth(response); });
  http.Get("/metrics", [this](const auto&, auto& response) {
    response.set_content(metrics.Text(scheduler.state(), options.scheduler.batch.key_value_bytes,
                                      model.transformer.weight_bytes()),
                         "text/plain; version=0.0.4; charset=utf-8");
  });
  http.Get("/v1/models", [this](const auto&, auto& response) { ServeModels(response); });
  http.Get("/v1/models/(.+)",
           [this](const auto& request, auto& response) { ServeModel(request.matches[1], response); });
  for (const bool is_chat : {false, true})
    http.Post(is_chat ? "/v1/chat/completions" : "/v1/completions",
              [this, is_chat](const httplib::Request& request, httplib::Response& response,
                              const httplib::ContentReader& reader) {
                ServeAnswer(request, response, reader, is_chat);
              });
}

Server::Server(const ServedModel& model, ServerOptions options)
    : core_(std::make_unique<Core>(model, std::move(options))) {
  const ServerOptions& given = core_->options;
  const std::optional<std::string> loopback = http::LoopbackAddress(given.host);
  if (!loopback && given.api_key.empty())
    throw Error(
        {.kind = ErrorKind::kUsage,
         .what = "cannot serve on " + given.host + " without a key",
         .why = "others can reach that address, and anybody who does could use the model",
         .fix = "give --api-key-file FILE (or --api-key, or FORGE_API_KEY), or use --host localhost"});
  core_->SetUp();
  core_->access = {.is_loopback = loopback.has_value(),
                   .api_key = given.api_key,
                   .cors_origins = given.cors_origins,
                   .max_body_bytes = given.max_body_bytes};
  core_->access.port = core_->http.Bind(loopback.value_or(given.host), given.port);
  if (core_->access.port <= 0)
    throw Error(
        {.kind = ErrorKind::kEnvironment,
         .what = fmt::format("cannot serve on port {} of {}", given.port, given.host),
         .why = "the port is in use, or not allowed for this user, or the address is not this machine's",
         .fix = "choose another one with --port, or --port 0 for any free one"});
}

Server::~Server() = default;

int Server::port() const { return core_->access.port; }

std::string Server::Url() const { return http::UrlOf(core_->options.host, core_->access.port); }

int Server::Run(const StopToken& stop) {
  Core& core = *core_;
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> drain_end, cut_end;
  int cut = 0;
  const auto is_over = [&] {
    if (!stop.stop_requested()) return false;
    if (!drain_end) {
      core.stopping = true;
      core.scheduler.Close();
      drain_end = Clock::now() + core.options.drain;
    }
    if (core.open_answers == 0) return true;
    if (!cut_end && Clock::now() >= *drain_end) {
      cut = core.open_answers;
      cut_end = Clock::now() + kCutGrace;
      core.scheduler.FailAll(std::make_exception_ptr(
          Error({.kind = ErrorKind::kInterrupted,
                 .what = "the answer is not complete",
                 .why = "the server was told to stop, and the time for open answers is over",
                 .fix = "ask again when it is back"})));
    }
    return cut_end && Clock::now() >= *cut_end;
  };
  if (!core.http.ServeUntil(is_over))
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = fmt::format("the server on port {} ended by itself", core.access.port),
                 .why = "the system does not let it accept connections any more",
                 .fix = "start it again"});
  return cut;
}

}  // namespace forge::serve
