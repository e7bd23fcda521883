// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "io/atomic_file.h"
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
    flags.AddConfig(config_);
  }
  int Run(const FlagSet& flags, Terminal& terminal) override {
    run_.ReadSettings(flags, config_);
    if (config_.preset == "smoke") ApplySmokePreset(flags);
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
  /// A quick pass over a real model: one generation, no training. Flags that were given stay.
  void ApplySmokePreset(const FlagSet& flags) {
    if (config_.evolve.tasks == "starter" || config_.reason.eval_dataset == "starter")
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "--preset smoke needs tasks of ordinary text",
                   .why = "the starter tasks say nothing about a real model",
                   .fix = "give --tasks data:FOLDER and --eval-dataset gsm8k:FOLDER/eval/gsm8k/train.jsonl"});
    if (!flags.Given("--generations")) config_.evolve.generations = 1;
    if (!flags.Given("--search-items")) config_.evolve.search_items = 12;
    if (!flags.Given("--selection-items")) config_.evolve.selection_items = 12;
    if (!flags.Given("--test-items")) config_.evolve.test_items = 32;
    if (!flags.Given("--finalists")) config_.evolve.finalists = 4;
    if (!flags.Given("--eval-samples")) config_.reason.eval_samples = 60;
    if (!flags.Given("--compress-steps")) config_.compress.compress.training_steps = 0;
    if (!flags.Given("--calibration-dataset")) config_.compress.calibration_dataset = config_.evolve.tasks;
    if (!flags.Given("--calibration-samples")) config_.compress.compress.calibration_samples = 60;
    config_.compress.eval_samples = config_.evolve.test_items;
  }

  RunFlags run_;
  pipeline::UnifiedConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeRunPipelineCommand() { return std::make_unique<RunPipelineCommand>(); }

}  // namespace forge::cli
