// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "io/atomic_file.h"
#include "pipeline/presets.h"
#include "pipeline/unified_pipeline.h"

namespace forge::cli {
namespace {

class RunPipelineCommand : public Command {
 public:
  std::string Name() const override { return "run-pipeline"; }
  std::string Summary() const override {
    return "Evolve, teach to think, compress and report: everything in one run.";
  }
  std::string Example() const override { return "forge run-pipeline --output-dir output --seed 1"; }
  void AddFlags(FlagSet& flags) override {
    run_.AddTo(flags);
    run_.AddWorkersTo(flags);
    flags.AddConfig(config_);
  }
  int Run(const FlagSet& flags, Terminal& terminal) override {
    run_.ReadSettings(flags, config_);
    run_.ChooseAlgorithm(flags, config_.evolve.algorithm);
    if (run_.resume.empty())  // else they are the run's own
      pipeline::ApplyPreset([&](const std::string& field) { return run_.IsGiven(flags, field); }, config_);
    pipeline::RunRequest request = run_.Request("run-pipeline", io::ConfigToJson(config_));
    pipeline::UnifiedInputs inputs = pipeline::LoadUnifiedInputs(config_, pipeline::FindStartPoint(request));
    request.device = ChooseDevice(run_.device, inputs.trains);
    pipeline::ManagedRun run(request, terminal, terminal.stop());
    run.Execute([&](const pipeline::RunContext& context) {
      io::Json result = pipeline::RunUnifiedPipeline(config_, std::move(inputs), context);
      result["versions"] = {{"forge", kVersion}};
      return result;
    });
    const std::filesystem::path folder = run.context().folder;
    terminal.PrintJson(io::ReadJsonFile(folder / "report.json"));
    terminal.Print(io::ReadFile(folder / "report.md"));
    terminal.Print(
        fmt::format("\neverything is in {}; open {}\n", folder.string(), (folder / "report.html").string()));
    return 0;
  }

 private:
  RunFlags run_;
  pipeline::UnifiedConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeRunPipelineCommand() { return std::make_unique<RunPipelineCommand>(); }

}  // namespace forge::cli
