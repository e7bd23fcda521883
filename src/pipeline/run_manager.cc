// SPDX-License-Identifier: Apache-2.0
#include "pipeline/run_manager.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "track/run_report.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

/// "unified_checkpoints/run-1.json" -> "run-1"; a plain id stays.
std::string RunIdOf(const std::string& resume) {
  return fs::path(resume).extension() == ".json" ? fs::path(resume).stem().string() : resume;
}

/// The output folder that a handle lies in, if it is a path to one; else the given one.
std::string OutputOf(const std::string& output_dir, const std::string& resume) {
  const fs::path path(resume);
  if (path.extension() != ".json") return output_dir;
  if (fs::exists(path)) return fs::absolute(path).parent_path().parent_path().string();
  if (fs::exists(fs::path(output_dir) / path)) return output_dir;
  throw Error({.what = "there is no resume handle " + resume,
               .why = "neither that file nor " + (fs::path(output_dir) / path).string() + " exists",
               .fix = "forge status lists the runs and their handles"});
}

[[noreturn]] void ThrowUnknownRun(const std::string& run, const std::string& output_dir) {
  throw Error({.what = "there is no run " + run + " in " + output_dir,
               .why = "its store does not know it",
               .fix = "forge status --output-dir " + output_dir + " lists the runs"});
}

/// Runs do not mix with other files: a folder that has some (hidden ones do not count) and no store is
/// refused.
void CheckOutputFolder(const std::string& folder) {
  if (!fs::exists(folder) || fs::exists(fs::path(folder) / track::Store::kFileName)) return;
  std::string why = fs::is_directory(folder) ? "" : "it is a file";
  std::error_code unreadable;  // the store says more when it is opened
  if (why.empty())
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, unreadable))
      if (const std::string name = entry.path().filename().string(); !name.starts_with('.'))
        why = fmt::format("it holds something else ({}) and no runs", name);
  if (why.empty()) return;
  throw Error({.what = "will not start a run in " + folder,
               .why = why,
               .fix = "choose a new or empty folder with --output-dir"});
}

}  // namespace

ManagedRun::ManagedRun(const RunRequest& request, MetricSink& terminal, const StopToken& stop)
    : config_(request.config) {
  output_dir_ = request.resume.empty() ? request.output_dir : OutputOf(request.output_dir, request.resume);
  if (request.resume.empty())
    CheckOutputFolder(output_dir_);
  else
    FindStartPoint(request);  // opening the store to write would make one where none is
  store_ = std::make_unique<track::Store>(track::Store::Open(output_dir_, track::Store::Mode::kWrite));
  context_ = {.store = store_.get(),
              .device = request.device,
              .seed = request.seed,
              .terminal = &terminal,
              .stop = &stop,
              .workers = request.workers,
              .external_workers = request.external_workers};
  if (request.resume.empty()) {
    CreateRun(request);
  } else {
    ResumeRun(request);
  }
}

/// Its files first and then its row, so that a run which status shows can be resumed.
void ManagedRun::CreateRun(const RunRequest& request) {
  context_.run = track::NewRunId(store_->Now(), [&](const std::string& name) {
    return store_->FindRun(name).has_value() || fs::exists(fs::path(output_dir_) / name);
  });
  context_.folder = fs::path(output_dir_) / context_.run;
  try {
    CreateFiles();
    store_->CreateRun({.id = context_.run,
                       .command = request.command,
                       .config = request.config,
                       .seed = static_cast<std::int64_t>(request.seed)});
  } catch (const Error&) {
    std::error_code ignored;  // the error that is on its way says more
    fs::remove_all(context_.folder, ignored);
    fs::remove(handle(), ignored);
    throw;
  }
}

void ManagedRun::ResumeRun(const RunRequest& request) {
  context_.run = RunIdOf(request.resume);
  context_.folder = fs::path(output_dir_) / context_.run;
  const std::optional<track::Run> run = store_->FindRun(context_.run);
  if (!run) ThrowUnknownRun(context_.run, output_dir_);
  store_->ResumeRun(context_.run);
  config_ = run->config;
  context_.seed = static_cast<std::uint64_t>(run->seed);
  CreateFiles();  // its folder may have been removed
}

void ManagedRun::CreateFiles() const {
  io::CreateFolders(context_.folder);
  io::CreateFolders(handle().parent_path());
  io::WriteJsonFile(context_.folder / "config.json", config_);
  io::WriteJsonFile(handle(), {{"run", context_.run},
                               {"store", track::Store::kFileName},
                               {"config", config_},
                               {"seed", context_.seed}});
}

fs::path ManagedRun::handle() const {
  return fs::path(output_dir_) / "unified_checkpoints" / (context_.run + ".json");
}

void ManagedRun::RecordEnd(track::State state, const std::string& message) {
  try {
    for (const track::Stage& stage : store_->Stages(context_.run))
      if (stage.state == track::State::kRunning) store_->EndStage(context_.run, stage.name, state);
    store_->FinishRun(context_.run, state, io::Json::object(), message);
  } catch (const Error&) {
    // A full disk: readers see that the process is gone, and the error that is on its way says why.
  }
}

void ManagedRun::Execute(const std::function<io::Json(const RunContext&)>& work) {
  try {
    const io::Json result = work(context_);
    store_->FinishRun(context_.run, track::State::kDone, result);
    track::WriteReport(context_.folder, track::GatherReport(*store_, context_.run));
  } catch (const Error& error) {
    const bool interrupted = error.kind() == ErrorKind::kInterrupted;
    if (interrupted)
      RecordEnd(track::State::kInterrupted, "");
    else
      RecordEnd(track::State::kFailed, error.what());
    Error::Fields fields = error.fields();
    const std::string how = "go on with --resume " + handle().string();
    if (interrupted)
      fields.fix = how;
    else if (error.kind() == ErrorKind::kEnvironment)
      fields.fix += "; then " + how;
    throw Error(fields);
  }
}

StartPoint FindStartPoint(const RunRequest& request) {
  StartPoint start{.seed = request.seed};
  if (request.resume.empty()) return start;
  const std::string output_dir = OutputOf(request.output_dir, request.resume);
  std::optional<track::Store> store = track::Store::OpenIfAny(output_dir);
  const std::optional<track::Run> run = store ? store->FindRun(RunIdOf(request.resume)) : std::nullopt;
  if (!run) ThrowUnknownRun(RunIdOf(request.resume), output_dir);
  start.seed = static_cast<std::uint64_t>(run->seed);
  for (const track::Stage& stage : store->Stages(run->id))
    if (stage.state == track::State::kDone) start.finished_stages.insert(stage.name);
  return start;
}

io::Json ReadRunConfig(const std::string& output_dir, const std::string& resume) {
  const std::string output = OutputOf(output_dir, resume);
  const fs::path handle = fs::path(output) / "unified_checkpoints" / (RunIdOf(resume) + ".json");
  if (!fs::exists(handle))
    throw Error({.what = "there is no run " + RunIdOf(resume) + " to resume in " + output,
                 .why = handle.string() + " does not exist",
                 .fix = "forge status lists the runs"});
  io::Json json = io::ReadJsonFile(handle);
  if (!json.is_object() || !json.contains("config"))
    throw Error({.what = "cannot resume with " + handle.string(),
                 .why = "it holds no settings of a run",
                 .fix = "take the config.json in the folder of the run: --config, for a new run"});
  return std::move(json["config"]);
}

}  // namespace forge::pipeline
