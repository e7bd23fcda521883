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

}  // namespace

ManagedRun::ManagedRun(const RunRequest& request, MetricSink& terminal, const StopToken& stop)
    : config_(request.config) {
  output_dir_ = request.resume.empty() ? request.output_dir : OutputOf(request.output_dir, request.resume);
  store_ = std::make_unique<track::Store>(track::Store::Open(output_dir_, track::Store::Mode::kWrite));
  std::string id;
  std::uint64_t seed = request.seed;
  if (request.resume.empty()) {
    id = track::NewRunId(store_->Now(), [&](const std::string& name) {
      return store_->FindRun(name).has_value() || fs::exists(fs::path(output_dir_) / name);
    });
    store_->CreateRun({.id = id,
                       .command = request.command,
                       .config = request.config,
                       .seed = static_cast<std::int64_t>(seed)});
  } else {
    id = RunIdOf(request.resume);
    const std::optional<track::Run> run = store_->FindRun(id);
    if (!run)
      throw Error({.what = "there is no run " + id + " in " + output_dir_,
                   .why = "its store does not know it",
                   .fix = "forge status --output-dir " + output_dir_ + " lists the runs"});
    store_->ResumeRun(id);
    config_ = run->config;
    seed = static_cast<std::uint64_t>(run->seed);
  }
  context_ = {.store = store_.get(),
              .run = id,
              .folder = fs::path(output_dir_) / id,
              .device = request.device,
              .seed = seed,
              .terminal = &terminal,
              .stop = &stop};
  fs::create_directories(context_.folder);
  fs::create_directories(handle().parent_path());
  io::WriteJsonFile(context_.folder / "config.json", config_);
  io::WriteJsonFile(handle(),
                    {{"run", id}, {"store", track::Store::kFileName}, {"config", config_}, {"seed", seed}});
}

fs::path ManagedRun::handle() const {
  return fs::path(output_dir_) / "unified_checkpoints" / (context_.run + ".json");
}

void ManagedRun::Execute(const std::function<io::Json(const RunContext&)>& work) {
  const auto end_open_stages = [&](track::State state) {
    for (const track::Stage& stage : store_->Stages(context_.run))
      if (stage.state == track::State::kRunning) store_->EndStage(context_.run, stage.name, state);
  };
  try {
    const io::Json result = work(context_);
    store_->FinishRun(context_.run, track::State::kDone, result);
    track::WriteReport(context_.folder, track::GatherReport(*store_, context_.run));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInterrupted) {
      end_open_stages(track::State::kFailed);
      store_->FinishRun(context_.run, track::State::kFailed, io::Json::object(), error.what());
      throw;
    }
    end_open_stages(track::State::kInterrupted);
    store_->FinishRun(context_.run, track::State::kInterrupted);
    Error::Fields fields = error.fields();
    fields.fix = "go on with --resume " + handle().string();
    throw Error(fields);
  }
}

io::Json ReadRunConfig(const std::string& output_dir, const std::string& resume) {
  const std::string output = OutputOf(output_dir, resume);
  const fs::path handle = fs::path(output) / "unified_checkpoints" / (RunIdOf(resume) + ".json");
  if (!fs::exists(handle))
    throw Error({.what = "there is no run " + RunIdOf(resume) + " to resume in " + output,
                 .why = handle.string() + " does not exist",
                 .fix = "forge status lists the runs"});
  return io::ReadJsonFile(handle).at("config");
}

}  // namespace forge::pipeline
