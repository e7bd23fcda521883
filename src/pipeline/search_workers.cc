// SPDX-License-Identifier: Apache-2.0
#include "pipeline/search_workers.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/atomic_file.h"
#include "io/config_file.h"
#include "jobs/coordinator.h"
#include "jobs/local_workers.h"
#include "jobs/mailbox_coordinator.h"
#include "jobs/mailbox_worker.h"
#include "jobs/rank_ports.h"
#include "jobs/worker_loop.h"
#include "pipeline/evolve_candidates.h"
#include "pipeline/evolve_evaluator.h"
#include "pipeline/model_reference.h"
#include "pipeline/search_statistics.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSearchFile = "search.json";
constexpr double kLookSeconds = 0.5;  // between looks for a search that has not begun

fs::path WorkersFolder(const fs::path& run_folder) { return run_folder / "evolve" / "workers"; }

/// "a+b" with both parts absolute, wherever the worker is started.
std::string AbsoluteReference(const std::string& path) {
  const ModelParts parts = PartsOf(path);
  std::string absolute = fs::absolute(parts.base).string();
  for (const fs::path& adapter : parts.adapters) absolute += "+" + fs::absolute(adapter).string();
  return absolute;
}

/// The settings as a worker in any folder of this machine understands them.
EvolveConfig WithAbsolutePaths(EvolveConfig config) {
  const auto resolve = [&](std::string& name) {
    if (!name.empty()) name = AbsoluteReference(ResolveModel(name, config.models_dir).string());
  };
  for (std::string& name : config.base_models) resolve(name);
  resolve(config.base);
  config.models_dir = fs::absolute(config.models_dir).string();
  const auto prefix = std::string("data:");
  if (config.tasks.starts_with(prefix))
    config.tasks = prefix + fs::absolute(config.tasks.substr(prefix.size())).string();
  else if (fs::exists(config.tasks))
    config.tasks = fs::absolute(config.tasks).string();
  return config;
}

/// The executor with all that it stands on.
class SearchFleet : public jobs::Executor {
 public:
  SearchFleet(const jobs::Identity& identity, const RunContext& context, MetricSink& sink)
      : port_(WorkersFolder(context.folder), [&sink](const std::string& line) { sink.Log(line); }) {
    const std::string folder = fs::absolute(context.folder).string();
    if (context.workers > 0) {
      const int threads = std::max(1, ThreadPool::Global().num_threads() / context.workers);
      // FORGE_THREADS reaches the worker through env, which also lets it find itself when the program file
      // was replaced.
      workers_ = std::make_unique<jobs::LocalWorkers>(jobs::LocalWorkersOptions{
          .command = {"/usr/bin/env", fmt::format("FORGE_THREADS={}", threads),
                      fs::read_symlink("/proc/self/exe").string(), "worker", "--run", folder},
          .count = context.workers,
          .output = context.folder / "evolve" / "workers.log",
          .log = [&sink](const std::string& line) { sink.Log(line); }});
    }
    coordinator_ = std::make_unique<jobs::Coordinator>(
        port_, *context.store,
        jobs::CoordinatorOptions{.identity = identity,
                                 .run = context.run,
                                 .stage = kEvolveStage,
                                 .expected_workers = context.workers,
                                 .join_command = "forge worker --run " + folder,
                                 .log = [&sink](const std::string& line) { sink.Log(line); },
                                 .tend = [this, &context] { Tend(context); },
                                 .stop = context.stop});
  }

  void Submit(jobs::Job job) override { coordinator_->Submit(std::move(job)); }
  jobs::JobResult Next() override { return coordinator_->Next(); }
  int Slots() const override { return coordinator_->Slots(); }
  std::size_t UnderWay() const override { return coordinator_->UnderWay(); }

 private:
  /// A search without any worker left that it started itself is over, unless others may join.
  void Tend(const RunContext& context) {
    if (!workers_) return;
    workers_->Tend();
    if (!context.external_workers && coordinator_->workers() == 0) workers_->ThrowIfNoneIsLeft();
  }

  jobs::MailboxCoordinatorPort port_;
  std::unique_ptr<jobs::LocalWorkers> workers_;
  std::unique_ptr<jobs::Coordinator> coordinator_;  // its end tells the workers, which then end by themselves
};

/// The search's settings, as soon as they are there.
io::Json WaitForSearch(const SearchWorkerSettings& settings, MetricSink& sink, const StopToken& stop) {
  if (!fs::exists(settings.run_folder / "config.json"))
    throw Error({.what = "cannot work for " + settings.run_folder.string(),
                 .why = "it is no folder of a run",
                 .fix = "give the folder that the search has made: <output-dir>/run-.."});
  const fs::path file = settings.run_folder / "evolve" / kSearchFile;
  bool said = false;
  for (double waited = 0; !fs::exists(file); waited += kLookSeconds) {
    stop.ThrowIfRequested("worker");
    if (waited > 60 * settings.patience_minutes)
      throw Error(
          {.kind = ErrorKind::kEnvironment,
           .what = "no search has begun in " + settings.run_folder.string(),
           .why =
               fmt::format("{} did not appear within {:g} minutes", file.string(), settings.patience_minutes),
           .fix = "start forge evo with --workers or --external-workers; or give --patience-minutes"});
    if (!said) sink.Log("waiting for the search to begin");
    said = true;
    std::this_thread::sleep_for(std::chrono::duration<double>(kLookSeconds));
  }
  return io::ReadJsonFile(file);
}

EvolveConfig WorkerConfig(const SearchWorkerSettings& settings, const io::Json& search) {
  EvolveConfig config;
  io::ApplyConfigJson(config, search.at("config"), kSearchFile, false);
  if (!settings.base_models.empty()) config.base_models = settings.base_models;
  if (!settings.base.empty()) config.base = settings.base;
  if (!settings.tasks.empty()) config.tasks = settings.tasks;
  return config;
}

bool IsRank(const SearchWorkerSettings& settings) {
  if (settings.mpi != "auto") return settings.mpi == "on";
  const char* ranks = std::getenv("OMPI_COMM_WORLD_SIZE");
  return ranks != nullptr && std::atoi(ranks) > 1;
}

/// Does evaluations until the coordinator says that it is enough; messages go through files, or, as a rank,
/// through rank 0.
void Work(const SearchWorkerSettings& settings, jobs::RankMessages* ranks, MetricSink& sink,
          const StopToken& stop) {
  const io::Json search = WaitForSearch(settings, sink, stop);
  EvolveInputs inputs = LoadEvolveInputs(WorkerConfig(settings, search));
  // In memory: a worker writes no store.
  SearchStatistics statistics({.base_hash = inputs.base_hash, .parent_hashes = inputs.parent_hashes});
  const EvolveEvaluator evaluator(std::move(inputs), &statistics);
  std::unique_ptr<jobs::WorkerPort> port;
  if (ranks != nullptr)
    port = std::make_unique<jobs::RankWorkerPort>(*ranks);
  else
    port = std::make_unique<jobs::MailboxWorkerPort>(WorkersFolder(settings.run_folder));
  const jobs::WorkerOutcome outcome =
      jobs::RunWorker(*port,
                      [&](const jobs::Job& job) {
                        stop.ThrowIfRequested(("evaluation " + job.key).c_str());
                        return evaluator.Evaluate(Evaluation::FromJson(job.what));
                      },
                      {.identity = evaluator.identity(),
                       .threads = ThreadPool::Global().num_threads(),
                       .patience_seconds = 60 * settings.patience_minutes,
                       .log = [&](const std::string& line) { sink.Log(line); },
                       .stop = &stop});
  sink.Log(fmt::format("{} evaluations done: {}", outcome.jobs, outcome.reason));
}

}  // namespace

std::unique_ptr<jobs::Executor> MakeSearchFleet(const EvolveConfig& config, const jobs::Identity& identity,
                                                const RunContext& context, MetricSink& sink) {
  io::CreateFolders(WorkersFolder(context.folder));
  io::WriteJsonFile(context.folder / "evolve" / kSearchFile,
                    {{"run", context.run},
                     {"config", io::ConfigToJson(WithAbsolutePaths(config))},
                     {"version", identity.version},
                     {"inputs", identity.inputs}});
  return std::make_unique<SearchFleet>(identity, context, sink);
}

void RunSearchWorker(const SearchWorkerSettings& settings, MetricSink& sink, const StopToken& stop) {
  const std::unique_ptr<jobs::RankMessages> ranks = IsRank(settings) ? jobs::StartMpi() : nullptr;
  const fs::path folder = WorkersFolder(settings.run_folder);
  if (ranks != nullptr && ranks->rank() == 0) {
    WaitForSearch(settings, sink, stop);
    jobs::RankRelay relay(*ranks, [&](int) { return std::make_unique<jobs::MailboxWorkerPort>(folder); });
    jobs::RunRelay(relay, &stop);
  } else {
    Work(settings, ranks.get(), sink, stop);
  }
  if (ranks != nullptr) ranks->Finish();
}

}  // namespace forge::pipeline
