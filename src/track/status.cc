// SPDX-License-Identifier: Apache-2.0
#include "track/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "track/report_svg.h"

namespace forge::track {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxRuns = 20;
constexpr std::chrono::milliseconds kDiskBudget{5};  // of the 20 ms that the whole answer may take

Json OrNull(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

/// Bytes of all files below the folder, as far as the time allows; the second value says whether it was all.
std::pair<std::uint64_t, bool> UsedBytes(const fs::path& folder) {
  const auto deadline = std::chrono::steady_clock::now() + kDiskBudget;
  std::uint64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (std::chrono::steady_clock::now() > deadline) return {bytes, false};
    std::error_code ignored;  // a file that goes away between two looks counts nothing
    if (entry->is_regular_file(ignored) && !entry->is_symlink(ignored)) {
      const std::uintmax_t size = entry->file_size(ignored);
      if (!ignored) bytes += size;
    }
  }
  return {bytes, true};
}

Json BestOf(Store& store, const Run& run, const Stage& stage) {
  Json best = Json::object();
  if (stage.result.is_object())
    for (const auto& [key, value] : stage.result.items())
      if (value.is_number() || value.is_string()) best[key] = value;
  if (stage.name != "evolve" || stage.state == State::kDone) return best;
  const SearchSummary search = store.SummarizeSearch(run.id);
  if (search.best_fitness) best["best_fitness"] = *search.best_fitness;
  if (search.best_parent) best["best_parent"] = *search.best_parent;
  if (search.candidates > 0) best["generation"] = search.generation;
  for (const SearchSummary::Domain& domain : search.domains)
    best["domains"][domain.name] = {{"best", OrNull(domain.best)},
                                    {"best_parent", OrNull(domain.best_parent)}};
  return best;
}

std::string Shown(const Json& number) {
  return ShortNumber(number.is_number() ? std::optional(number.get<double>()) : std::nullopt);
}

std::string StageLine(const Json& stage) {
  std::string line =
      fmt::format("  {:<10} {:<12}", stage["name"].get<std::string>(), stage["state"].get<std::string>());
  const auto total = stage["total"].get<std::int64_t>();
  const auto done = stage["done"].get<std::int64_t>();
  if (stage["state"] == "running" || stage["state"] == "interrupted") {
    if (total > 0)
      line += fmt::format(" {}/{} {} ({:.0f} %)", done, total, stage["unit"].get<std::string>(),
                          100.0 * static_cast<double>(done) / static_cast<double>(total));
    if (!stage["activity"].get<std::string>().empty())
      line += fmt::format(" {}", stage["activity"].get<std::string>());
    if (!stage["seconds_left"].is_null())
      line += ", " + ShortDuration(stage["seconds_left"].get<double>()) + " left";
  }
  line += fmt::format("  [{}]", ShortDuration(stage["seconds"].get<double>()));
  static constexpr const char* kShown[] = {
      "best_fitness",        "best_parent", "champion_score", "best_parent_score", "gain_relative", "verdict",
      "thought_gain_points", "retention",   "ratio",          "bits_per_weight"};
  for (const char* key : kShown) {
    const auto found = stage["best"].find(key);
    if (found == stage["best"].end()) continue;
    line += fmt::format("  {} {}", key,
                        found->is_string() ? found->get<std::string>() : ShortNumber(found->get<double>()));
  }
  line += "\n";
  const Json domains = stage["best"].value("domains", Json::object());
  for (const auto& [name, scores] : domains.items())
    line += fmt::format("    {:<18} best {}  best parent {}\n", name, Shown(scores["best"]),
                        Shown(scores["best_parent"]));
  return line;
}

}  // namespace

Json RunStatus(Store& store, const Run& run) {
  Json stages = Json::array();
  double seconds = 0;
  for (const Stage& stage : store.Stages(run.id)) {
    seconds += stage.seconds;
    stages.push_back({{"name", stage.name},
                      {"state", Name(stage.state)},
                      {"done", stage.done},
                      {"total", stage.total},
                      {"unit", stage.unit},
                      {"activity", stage.activity},
                      {"rate", stage.state == State::kRunning ? OrNull(stage.rate) : Json()},
                      {"seconds", stage.seconds},
                      {"seconds_left", OrNull(stage.SecondsLeft())},
                      {"best", BestOf(store, run, stage)}});
  }
  const bool resumable = run.state == State::kInterrupted || run.state == State::kFailed;
  return {{"id", run.id},
          {"state", Name(run.state)},
          {"command", run.command},
          {"seed", run.seed},
          {"created", run.created},
          {"seconds", seconds},
          {"message", run.message},
          {"final_model", run.result.is_object() ? run.result.value("final_model", Json()) : Json()},
          {"resume", resumable ? Json((run.command.empty() ? "forge run-pipeline" : run.command) +
                                      " --resume unified_checkpoints/" + run.id + ".json")
                               : Json()},
          {"stages", stages}};
}

Json BuildStatus(const fs::path& output_dir, const Clock& clock) {
  Json runs = Json::array();
  if (std::optional<Store> store = Store::OpenIfAny(output_dir, clock)) {
    for (const Run& run : store->Runs()) {
      if (runs.size() == kMaxRuns) break;
      runs.push_back(RunStatus(*store, run));
    }
  }
  const auto [used, complete] = UsedBytes(output_dir);
  std::error_code error;
  const fs::space_info space = fs::space(fs::exists(output_dir) ? output_dir : fs::path("."), error);
  return {{"output_dir", output_dir.string()},
          {"runs", runs},
          {"disk",
           {{"used_bytes", used},
            {"used_is_complete", complete},
            {"free_bytes", error ? Json() : Json(space.available)}}}};
}

std::string StatusText(const Json& status) {
  std::string text;
  if (status["runs"].empty())
    text +=
        "no runs in " + status["output_dir"].get<std::string>() + "; start one with `forge run-pipeline`\n";
  for (const Json& run : status["runs"]) {
    text +=
        fmt::format("{}  {}  seed {}  {}\n", run["id"].get<std::string>(), run["state"].get<std::string>(),
                    run["seed"].get<std::int64_t>(), ShortDuration(run["seconds"].get<double>()));
    for (const Json& stage : run["stages"]) text += StageLine(stage);
    if (const auto message = run["message"].get<std::string>(); !message.empty())
      text += fmt::format("  {}\n", message);
    if (run["final_model"].is_string())
      text += fmt::format("  model: {}\n", run["final_model"].get<std::string>());
    if (run["resume"].is_string()) text += fmt::format("  resume: {}\n", run["resume"].get<std::string>());
  }
  const Json& disk = status["disk"];
  text +=
      fmt::format("disk: {}{} used in {}, {} free\n", disk["used_is_complete"] == true ? "" : "more than ",
                  ShortBytes(disk["used_bytes"].get<double>()), status["output_dir"].get<std::string>(),
                  disk["free_bytes"].is_null() ? "unknown" : ShortBytes(disk["free_bytes"].get<double>()));
  return text;
}

}  // namespace forge::track
