// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <ctime>

#include "cli/command_list.h"
#include "track/store.h"

namespace forge::cli {
namespace {

std::string ShowTime(double seconds) {
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm time{};
  gmtime_r(&whole, &time);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday,
                     time.tm_hour, time.tm_min);
}

class RunsCommand : public Command {
 public:
  std::string Name() const override { return "runs"; }
  std::string Summary() const override { return "List all runs of an output folder, the newest first."; }
  std::string Example() const override { return "forge runs --output-dir output --json"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddText("--output-dir", output_dir_, "Folder with the run store.");
    flags.AddSwitch("--forget-evaluations", forgets_evaluations_,
                    "Remove what is kept of the searches' evaluations for later runs; runs keep their own.");
  }
  int Run(const FlagSet&, Terminal& terminal) override {
    if (forgets_evaluations_) return ForgetEvaluations(terminal);
    std::vector<track::Run> runs;
    if (std::optional<track::Store> store = track::Store::OpenIfAny(output_dir_)) runs = store->Runs();
    io::Json list = io::Json::array();
    std::string text = runs.empty() ? "no runs in " + output_dir_ + "\n"
                                    : fmt::format("{:<24}{:<13}{:<22}{:<16}final model\n", "run", "state",
                                                  "created", "command");
    for (const track::Run& run : runs) {
      const std::string model = run.result.is_object() && run.result.contains("final_model") &&
                                        run.result["final_model"].is_string()
                                    ? run.result["final_model"].get<std::string>()
                                    : "-";
      text += fmt::format("{:<24}{:<13}{:<22}{:<16}{}\n", run.id, track::Name(run.state),
                          ShowTime(run.created), run.command, model);
      list.push_back({{"id", run.id},
                      {"state", track::Name(run.state)},
                      {"command", run.command},
                      {"seed", run.seed},
                      {"created", run.created},
                      {"ended", run.ended ? io::Json(*run.ended) : io::Json()},
                      {"message", run.message},
                      {"result", run.result}});
    }
    terminal.Print(text);
    terminal.PrintJson({{"output_dir", output_dir_}, {"runs", list}});
    return 0;
  }

 private:
  int ForgetEvaluations(Terminal& terminal) const {
    std::int64_t count = 0;
    if (track::Store::OpenIfAny(output_dir_)) {  // opening to write would make a store
      track::Store store = track::Store::Open(output_dir_, track::Store::Mode::kWrite);
      count = store.CountKeptEvaluations();
      store.ForgetKeptEvaluations();
    }
    terminal.Print(fmt::format("{} kept evaluations removed from {}\n", count, output_dir_));
    terminal.PrintJson({{"output_dir", output_dir_}, {"removed", count}});
    return 0;
  }

  std::string output_dir_ = "output";
  bool forgets_evaluations_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeRunsCommand() { return std::make_unique<RunsCommand>(); }

}  // namespace forge::cli
