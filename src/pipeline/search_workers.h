// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "jobs/executor.h"
#include "pipeline/evolve_config.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

/// What does the evaluations of a search: worker processes that it starts on this machine, and any others
/// that join with `forge worker --run FOLDER`. Writes <run>/evolve/search.json, which tells them what
/// to load.
/// `identity`: of the search's inputs; a worker with another is turned away.
std::unique_ptr<jobs::Executor> MakeSearchFleet(const EvolveConfig& config, const jobs::Identity& identity,
                                                const RunContext& context, MetricSink& sink);

struct SearchWorkerSettings {
  std::filesystem::path run_folder;
  double patience_minutes = 10;  // without a coordinator, before the worker leaves
  /// "auto": where this process is a rank of Open MPI's mpirun, rank 0 of which then only passes messages on;
  /// "on", "off".
  std::string mpi = "auto";
  /// Where models and tasks are on this machine, if not where they are on the coordinator's; each may be
  /// empty.
  std::vector<std::string> base_models;
  std::string base, tasks;
};

/// Does evaluations for the search of a run until that says it is enough. Waits for the search to begin, if
/// the run is at an earlier stage. Throws as jobs::RunWorker does.
void RunSearchWorker(const SearchWorkerSettings& settings, MetricSink& sink, const StopToken& stop);

}  // namespace forge::pipeline
