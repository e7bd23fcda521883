// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "cli/command_list.h"
#include "track/run_report.h"
#include "track/store.h"

namespace forge::cli {
namespace {

class ReportCommand : public Command {
 public:
  std::string Name() const override { return "report"; }
  std::string Summary() const override {
    return "Write report.json, report.md and report.html of a run again, and show it.";
  }
  std::string Example() const override { return "forge report --output-dir output"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("RUN", run_, "Id of the run; the newest unless given.", false);
    flags.AddText("--output-dir", output_dir_, "Folder with the run store.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    std::optional<track::Store> opened = track::Store::OpenIfAny(output_dir_);
    if (!opened) ThrowNoRun("there is no run store in it");
    track::Store& store = *opened;
    if (run_.empty()) {
      const std::vector<track::Run> runs = store.Runs();
      if (runs.empty()) ThrowNoRun("its store has no runs");
      run_ = runs.front().id;
    }
    const track::ReportInput input = track::GatherReport(store, run_);
    const std::filesystem::path folder = std::filesystem::path(output_dir_) / run_;
    if (!std::filesystem::exists(folder))
      throw Error({.what = "cannot write the report of " + run_,
                   .why = "the run's folder " + folder.string() + " is gone",
                   .fix = "choose another run; `forge runs` lists them"});
    track::WriteReport(folder, input);
    terminal.Log("written: report.json, report.md and report.html in " + folder.string());
    terminal.Print(track::BuildReportMarkdown(input));
    terminal.PrintJson(track::BuildReportJson(input));
    return 0;
  }

 private:
  [[noreturn]] void ThrowNoRun(const std::string& why) const {
    throw Error({.what = "there is no run to report in " + output_dir_,
                 .why = why,
                 .fix = "give --output-dir, or start a run: forge run-pipeline"});
  }

  std::string run_, output_dir_ = "output";
};

}  // namespace

std::unique_ptr<Command> MakeReportCommand() { return std::make_unique<ReportCommand>(); }

}  // namespace forge::cli
