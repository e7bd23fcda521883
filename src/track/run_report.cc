// SPDX-License-Identifier: Apache-2.0
#include "track/run_report.h"

#include "io/atomic_file.h"

namespace forge::track {
namespace {

struct StageKeys {
  const char* stage;
  std::vector<const char*> keys;
};

const std::vector<StageKeys>& DocumentedKeys() {
  static const std::vector<StageKeys> keys = {
      {"evolve",
       {"champion_score", "best_parent_score", "uniform_score", "gain_relative", "gain_ci", "p_value", "n"}},
      {"reason",
       {"verdict", "thought_gain_points", "placebo_gain_points", "p_value", "retention", "retention_ci",
        "n"}},
      {"compress",
       {"input_bytes", "output_bytes", "ratio", "bits_per_weight", "retention", "retention_ci",
        "per_domain"}}};
  return keys;
}

const Stage* Find(const ReportInput& input, const std::string& name) {
  for (const Stage& stage : input.stages)
    if (stage.name == name) return &stage;
  return nullptr;
}

Json StageSection(const ReportInput& input, const StageKeys& documented) {
  const Stage* stage = Find(input, documented.stage);
  Json section = stage && stage->result.is_object() ? stage->result : Json::object();
  for (const char* key : documented.keys)
    if (!section.contains(key)) section[key] = nullptr;
  section["state"] = stage ? std::string(Name(stage->state)) : "not_run";
  return section;
}

}  // namespace

ReportInput GatherReport(Store& store, const std::string& run) {
  store.Flush();
  ReportInput input{
      .stages = store.Stages(run), .candidates = store.Candidates(run), .artifacts = store.Artifacts(run)};
  input.run = *store.FindRun(run);  // Stages threw if there is none
  return input;
}

Json BuildReportJson(const ReportInput& input) {
  const Json& result = input.run.result;
  Json report = {{"schema", 1},
                 {"run", input.run.id},
                 {"command", input.run.command},
                 {"seed", input.run.seed},
                 {"state", Name(input.run.state)},
                 {"final_model", result.is_object() ? result.value("final_model", Json()) : Json()},
                 {"versions", result.is_object() ? result.value("versions", Json::object()) : Json::object()},
                 {"seconds", Json::object()},
                 {"artifacts", Json::array()}};
  double total = 0;
  for (const Stage& stage : input.stages) {
    if (stage.state == State::kSkipped) continue;
    report["seconds"][stage.name] = stage.seconds;
    total += stage.seconds;
  }
  report["seconds"]["total"] = total;
  for (const StageKeys& documented : DocumentedKeys())
    report[documented.stage] = StageSection(input, documented);
  for (const Artifact& artifact : input.artifacts)
    report["artifacts"].push_back({{"name", artifact.name},
                                   {"path", artifact.path},
                                   {"bytes", artifact.bytes},
                                   {"sha256", artifact.sha256}});
  return report;
}

void WriteReport(const std::filesystem::path& folder, const ReportInput& input) {
  io::WriteFileAtomically(folder / "report.json",
                          BuildReportJson(input).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  io::WriteFileAtomically(folder / "report.md", BuildReportMarkdown(input));
  io::WriteFileAtomically(folder / "report.html", BuildReportHtml(input));
}

}  // namespace forge::track
