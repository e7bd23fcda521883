// SPDX-License-Identifier: Apache-2.0
#include "dashboard/event_stream.h"

#include <fmt/format.h>

#include "track/status.h"

namespace forge::dashboard {
namespace {

constexpr int kMaxRows = 1000;
constexpr double kHeartbeatSeconds = 15;
constexpr double kLookSeconds = 2;  // elapsed time and "its process is gone" change without any commit

std::string Message(std::string_view name, const Json& data, std::string_view id = {}) {
  const std::string id_line = id.empty() ? std::string() : fmt::format("id: {}\n", id);
  return fmt::format("{}event: {}\ndata: {}\n\n", id_line, name,
                     track::DumpJson(data));  // JSON has no raw newline
}

}  // namespace

EventStream::EventStream(std::filesystem::path folder, std::string run, Cursor cursor, track::Clock clock)
    : folder_(std::move(folder)),
      run_(std::move(run)),
      cursor_(cursor),
      clock_(std::move(clock)),
      last_message_(clock_()) {}

std::string EventStream::RunsMessage() {
  Json runs = Json::array();
  for (const track::Run& run : store_->Runs())
    runs.push_back({{"id", run.id}, {"state", track::Name(run.state)}, {"created", run.created}});
  const std::string text = track::DumpJson(runs);
  if (text == sent_runs_) return {};
  sent_runs_ = text;
  return Message("runs", runs);
}

std::string EventStream::UpdateMessage() {
  const std::optional<track::Run> run = store_->FindRun(run_);
  if (!run) return {};
  Json update = {{"now", clock_()},
                 {"log", Json::array()},
                 {"candidates", Json::array()},
                 {"metrics", Json::array()},
                 {"changed", false}};
  bool news = false;
  for (const track::Event& event : store_->EventsAfter(cursor_.event, kMaxRows, run_)) {
    cursor_.event = event.id;
    news = true;
    if (event.kind == "log")
      update["log"].push_back(LogJson(event));
    else if (event.kind == "candidate")
      update["candidates"].push_back(event.json);
    else
      update["changed"] = true;
  }
  for (const track::MetricPoint& point : store_->MetricsAfter(run_, cursor_.metric, kMaxRows)) {
    cursor_.metric = point.id;
    news = true;
    update["metrics"].push_back({point.stage, point.name, point.step, point.value});
  }
  update["run"] = track::RunStatus(*store_, *run);
  const std::string status = track::DumpJson(update["run"]);
  if (!news && status == sent_status_) return {};
  sent_status_ = status;
  return Message("update", update, ToText(cursor_));
}

std::string EventStream::Poll() {
  std::string text = first_ ? "retry: 2000\n\n" : "";
  first_ = false;
  if (!store_) store_ = track::Store::OpenIfAny(folder_, clock_);
  const double now = clock_();
  if (store_) {
    const std::int64_t version = store_->DataVersion();
    if (version != data_version_ || now - last_look_ >= kLookSeconds) {
      data_version_ = version;
      last_look_ = now;
      text += RunsMessage();
      if (!run_.empty()) text += UpdateMessage();
    }
    if (store_->frozen()) store_.reset();
  }
  if (text.empty() && now - last_message_ >= kHeartbeatSeconds) text = ": still here\n\n";
  if (!text.empty()) last_message_ = now;
  return text;
}

}  // namespace forge::dashboard
