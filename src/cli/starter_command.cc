// SPDX-License-Identifier: Apache-2.0
#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "pipeline/starter_suite.h"

namespace forge::cli {
namespace {

class StarterCommand : public Command {
 public:
  std::string Name() const override { return "starter"; }
  std::string Summary() const override {
    return "Train the starter suite: a base and three specialists, from a seed, in minutes.";
  }
  std::string Example() const override { return "forge starter --out models/starter --seed 1"; }
  void AddFlags(FlagSet& flags) override { flags.AddConfig(config_); }
  int Run(const FlagSet&, Terminal& terminal) override {
    config_.device = ChooseDevice(config_.device, pipeline::CheckStarterSuite(config_));
    const pipeline::StarterTable table = pipeline::TrainStarterSuite(config_, terminal, terminal.stop());
    terminal.Print(pipeline::ShowStarterTable(table));
    terminal.Print("trained in " + ShowDuration(table.seconds) + "; the models are in " + config_.out + "\n");
    io::Json json{{"out", config_.out}, {"n", table.n}, {"seconds", table.seconds}, {"misses", table.misses}};
    for (const pipeline::StarterRow& row : table.rows) json["rows"][row.model] = row.correct;
    terminal.PrintJson(json);
    return table.misses.empty() ? 0 : 1;
  }

 private:
  pipeline::StarterConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeStarterCommand() { return std::make_unique<StarterCommand>(); }

}  // namespace forge::cli
