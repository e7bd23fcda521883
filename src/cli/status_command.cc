// SPDX-License-Identifier: Apache-2.0
#include "cli/command_list.h"
#include "track/status.h"

namespace forge::cli {
namespace {

class StatusCommand : public Command {
 public:
  std::string Name() const override { return "status"; }
  std::string Summary() const override {
    return "Show the runs of an output folder: stages, progress, best numbers, time left, disk.";
  }
  std::string Example() const override { return "forge status --output-dir output"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddText("--output-dir", output_dir_, "Folder with the run store.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    const track::Json status = track::BuildStatus(output_dir_);
    terminal.PrintJson(status);
    terminal.Print(track::StatusText(status));
    return 0;
  }

 private:
  std::string output_dir_ = "output";
};

}  // namespace

std::unique_ptr<Command> MakeStatusCommand() { return std::make_unique<StatusCommand>(); }

}  // namespace forge::cli
