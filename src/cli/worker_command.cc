// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "cli/command_list.h"
#include "pipeline/search_workers.h"

namespace forge::cli {
namespace {

class WorkerCommand : public Command {
 public:
  std::string Name() const override { return "worker"; }
  std::string Summary() const override {
    return "Evaluate candidates for a search: from another terminal, machine, Slurm task or mpirun rank.";
  }
  std::string Example() const override { return "forge worker --run output/run-20261129-120000"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddText("--run", run_, "Folder of the run, as forge evo shows it; it may be on a shared disk.");
    flags.AddNumber(
        "--patience-minutes", settings_.patience_minutes,
        "How long to wait for a search that has not begun, or that has stopped and may be resumed.");
    flags.AddWord("--mpi", settings_.mpi, {"auto", "on", "off"},
                  "Whether this is a rank of mpirun, whose rank 0 passes the messages of the others on.");
    flags.AddList("--base-models", settings_.base_models,
                  "Where the models are on this machine, if elsewhere than for the search.");
    flags.AddText("--base", settings_.base, "The same for their base.");
    flags.AddText("--tasks", settings_.tasks, "The same for the tasks.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    if (run_.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "there is no run to work for",
                   .why = "--run is not given",
                   .fix = "give the folder that forge evo --external-workers has made"});
    settings_.run_folder = run_;
    pipeline::RunSearchWorker(settings_, terminal, terminal.stop());
    return 0;
  }

 private:
  std::string run_;
  pipeline::SearchWorkerSettings settings_;
};

}  // namespace

std::unique_ptr<Command> MakeWorkerCommand() { return std::make_unique<WorkerCommand>(); }

}  // namespace forge::cli
