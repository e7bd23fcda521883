// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "io/json_file.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

struct RunRequest {
  std::string output_dir = "output";
  std::string command;  // as typed, for the report
  io::Json config;      // resolved; kept with the run and compared on resume
  std::uint64_t seed = 1;
  std::string device = "cpu";
  int workers = 0;  // of a search; see RunContext
  bool external_workers = false;
  std::string resume;  // unified_checkpoints/<id>.json, or a run id; empty: a new run
};

/// A run from its start (or resume) to its end in the store, with its folder and its resume handle
/// <output-dir>/unified_checkpoints/<id>.json.
class ManagedRun {
 public:
  /// Throws Error(kInput) for a handle that is not there or belongs to another store, and for an output
  /// folder that holds other things and no runs; Error(kEnvironment) if the output folder cannot be written;
  /// a new run then leaves nothing behind.
  ManagedRun(const RunRequest& request, MetricSink& terminal, const StopToken& stop);

  const RunContext& context() const { return context_; }
  /// The settings that the run was started with; those of the request for a new run.
  const io::Json& config() const { return config_; }
  std::filesystem::path handle() const;

  /// Calls work, which returns the result for FinishRun; records how it ended. A run that was interrupted, or
  /// failed for what its surroundings lack, says how to go on.
  void Execute(const std::function<io::Json(const RunContext&)>& work);

 private:
  void CreateFiles() const;
  void CreateRun(const RunRequest& request);
  void ResumeRun(const RunRequest& request);
  void RecordEnd(track::State state, const std::string& message);

  std::unique_ptr<track::Store> store_;
  RunContext context_;
  io::Json config_;
  std::string output_dir_;
};

/// Where a run starts from: a new one from nothing, a resumed one from what is in the store.
struct StartPoint {
  std::uint64_t seed = 1;
  std::set<std::string> finished_stages = {};
};
StartPoint FindStartPoint(const RunRequest& request);

/// The settings of the run that `resume` points to, so that a resumed command needs no other flag.
io::Json ReadRunConfig(const std::string& output_dir, const std::string& resume);

}  // namespace forge::pipeline
