// SPDX-License-Identifier: Apache-2.0
#include "jobs/messages.h"

#include <fmt/format.h>

#include <cmath>

namespace forge::jobs {
namespace {

using io::Json;

constexpr std::size_t kMostTextBytes = 100'000;  // of a host, a reason, ...
constexpr io::JsonLimits kMessageLimits = {
    .max_bytes = kMostMessageBytes, .max_values = 2'000'000, .max_depth = 64};

/// Overload set of lambdas, for std::visit.
template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;

/// A parsed message whose fields are asked for one by one.
class Fields {
 public:
  Fields(std::string_view text, const std::string& source)
      : source_(source), json_(io::ParseJson(text, source, kMessageLimits)) {
    if (!json_.is_object()) Fail("it is no object");
  }

  std::string Text(const char* name, std::size_t most_bytes = kMostTextBytes) const {
    const Json& value = At(name);
    if (!value.is_string()) Fail(fmt::format("\"{}\" is no text", name));
    auto text = value.get<std::string>();
    if (text.size() > most_bytes)
      Fail(fmt::format("\"{}\" has {} bytes; at most {} are allowed", name, text.size(), most_bytes));
    return text;
  }
  std::string Key() const {
    std::string key = Text("key", kMostKeyBytes);
    if (key.empty()) Fail("\"key\" is empty");
    return key;
  }
  Json Object(const char* name) const {
    const Json& value = At(name);
    if (!value.is_object()) Fail(fmt::format("\"{}\" is no object", name));
    return value;
  }
  std::int64_t Count(const char* name) const {
    const Json& value = At(name);
    if (!value.is_number_integer() || value < 0 || value > std::int64_t{1} << 53)
      Fail(fmt::format("\"{}\" is no count", name));
    return value.get<std::int64_t>();
  }
  double Seconds(const char* name) const {
    const Json& value = At(name);
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0)
      Fail(fmt::format("\"{}\" is no time", name));
    return value.get<double>();
  }
  Error::Fields Reason() const {
    const std::string kind = Text("error");
    ErrorKind found = ErrorKind::kEnvironment;
    if (kind == "input")
      found = ErrorKind::kInput;
    else if (kind != "environment")
      Fail("\"error\" is neither input nor environment");
    return {.kind = found, .what = Text("what"), .why = Text("why"), .fix = Text("fix")};
  }
  [[noreturn]] void Fail(std::string why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot understand the message in " + source_,
                 .why = std::move(why),
                 .fix = "use the same forge for coordinator and workers"});
  }

 private:
  const Json& At(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end()) Fail(fmt::format("it has no \"{}\"", name));
    return *found;
  }

  const std::string& source_;
  Json json_;
};

Json WithReason(Json message, const Error::Fields& reason) {
  const bool input = reason.kind == ErrorKind::kInput || reason.kind == ErrorKind::kUsage;
  message["error"] = input ? "input" : "environment";
  message["what"] = reason.what;
  message["why"] = reason.why;
  message["fix"] = reason.fix;
  return message;
}

std::string Dump(const Json& message) {
  return message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string Encode(const FromWorker& message) {
  return Dump(
      std::visit(Match{[](const Hello& hello) {
                         return Json{{"kind", "hello"},         {"version", hello.identity.version},
                                     {"host", hello.host},      {"inputs", hello.identity.inputs},
                                     {"pid", hello.pid},        {"process", hello.process},
                                     {"threads", hello.threads}};
                       },
                       [](const Heartbeat&) {
                         return Json{{"kind", "heartbeat"}};
                       },
                       [](const Result& result) {
                         return Json{{"kind", "result"},
                                     {"key", result.key},
                                     {"value", result.value},
                                     {"seconds", result.seconds}};
                       },
                       [](const Failure& failure) {
                         return WithReason({{"kind", "failure"}, {"key", failure.key}}, failure.error);
                       },
                       [](const Goodbye& goodbye) {
                         return WithReason({{"kind", "goodbye"}}, goodbye.reason);
                       }},
                 message));
}

std::string Encode(const ToWorker& message) {
  return Dump(std::visit(Match{[](const Job& job) {
                                 return Json{{"kind", "job"}, {"key", job.key}, {"what", job.what}};
                               },
                               [](const Refusal& refusal) {
                                 return WithReason({{"kind", "refusal"}}, refusal.reason);
                               },
                               [](const Stop& stop) {
                                 return Json{{"kind", "stop"}, {"reason", stop.reason}};
                               },
                               [](const Presence&) {
                                 return Json{{"kind", "presence"}};
                               }},
                         message));
}

FromWorker ParseFromWorker(std::string_view text, const std::string& source) {
  const Fields fields(text, source);
  const std::string kind = fields.Text("kind");
  if (kind == "hello")
    return Hello{.identity = {.version = fields.Text("version"), .inputs = fields.Text("inputs")},
                 .host = fields.Text("host"),
                 .pid = fields.Count("pid"),
                 .process = fields.Text("process"),
                 .threads = static_cast<int>(std::min<std::int64_t>(fields.Count("threads"), 1 << 20))};
  if (kind == "heartbeat") return Heartbeat{};
  if (kind == "result")
    return Result{.key = fields.Key(), .value = fields.Object("value"), .seconds = fields.Seconds("seconds")};
  if (kind == "failure") return Failure{.key = fields.Key(), .error = fields.Reason()};
  if (kind == "goodbye") return Goodbye{.reason = fields.Reason()};
  fields.Fail(fmt::format("a worker says no \"{}\"", kind.substr(0, 40)));
}

ToWorker ParseToWorker(std::string_view text, const std::string& source) {
  const Fields fields(text, source);
  const std::string kind = fields.Text("kind");
  if (kind == "job") return Job{.key = fields.Key(), .what = fields.Object("what")};
  if (kind == "refusal") return Refusal{.reason = fields.Reason()};
  if (kind == "stop") return Stop{.reason = fields.Text("reason")};
  if (kind == "presence") return Presence{};
  fields.Fail(fmt::format("a coordinator says no \"{}\"", kind.substr(0, 40)));
}

}  // namespace forge::jobs
