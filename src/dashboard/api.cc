// SPDX-License-Identifier: Apache-2.0
#include "dashboard/api.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "track/status.h"

namespace forge::dashboard {
namespace {

constexpr int kPointsPerSeries = 400;
constexpr int kLogLines = 300;

Json Series(track::Store& store, const std::string& run) {
  Json series = Json::array();
  for (const track::MetricPoint& point : store.MetricsThinned(run, kPointsPerSeries)) {
    if (series.empty() || series.back()["name"] != point.name || series.back()["stage"] != point.stage)
      series.push_back({{"stage", point.stage}, {"name", point.name}, {"points", Json::array()}});
    series.back()["points"].push_back({point.step, point.value});
  }
  return series;
}

}  // namespace

std::string ToText(const Cursor& cursor) { return fmt::format("{}.{}", cursor.event, cursor.metric); }

Cursor ParseCursor(const std::string& text) {
  Cursor cursor;
  const char* const end = text.data() + text.size();
  const auto [dot, event_error] = std::from_chars(text.data(), end, cursor.event);
  if (event_error != std::errc() || dot == end || *dot != '.') return {};
  const auto [rest, metric_error] = std::from_chars(dot + 1, end, cursor.metric);
  if (metric_error != std::errc() || rest != end || cursor.event < 0 || cursor.metric < 0) return {};
  return cursor;
}

Cursor LastCursor(track::Store& store) { return {store.LastEventId(), store.LastMetricId()}; }

Json RunsAnswer(const std::filesystem::path& folder, const track::Clock& clock) {
  Json answer = track::BuildStatus(folder, clock);
  answer["now"] = clock();
  return answer;
}

Json CandidateJson(const track::Candidate& candidate) {
  const auto fitness = candidate.Fitness();
  return {{"id", candidate.id},
          {"generation", candidate.generation},
          {"kind", candidate.kind},
          {"label", candidate.label},
          {"state", track::Name(candidate.state)},
          {"parents", candidate.parents},
          {"fitness", fitness ? Json(*fitness) : Json()}};
}

Json LogJson(const track::Event& event) {
  return {
      {"id", event.id}, {"time", event.time}, {"stage", event.stage}, {"line", event.json.value("line", "")}};
}

Json RunAnswer(track::Store& store, const std::string& run) {
  const std::string cursor = ToText(LastCursor(store));
  const std::optional<track::Run> found = store.FindRun(run);
  if (!found)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "no run " + run,
                 .why = "the store has none of that name",
                 .fix = "choose one of the list"});
  Json results = Json::object(), candidates = Json::array(), log = Json::array(), artifacts = Json::array();
  for (const track::Stage& stage : store.Stages(run)) results[stage.name] = stage.result;
  for (const track::Candidate& candidate : store.Candidates(run))
    candidates.push_back(CandidateJson(candidate));
  for (const track::Event& event : store.LastEvents(run, "log", kLogLines)) log.push_back(LogJson(event));
  for (const track::Artifact& artifact : store.Artifacts(run))
    artifacts.push_back({{"name", artifact.name},
                         {"path", artifact.path},
                         {"bytes", artifact.bytes},
                         {"sha256", artifact.sha256}});
  return {{"now", store.Now()},           {"cursor", cursor},   {"run", track::RunStatus(store, *found)},
          {"config", found->config},      {"results", results}, {"candidates", candidates},
          {"series", Series(store, run)}, {"log", log},         {"artifacts", artifacts}};
}

}  // namespace forge::dashboard
