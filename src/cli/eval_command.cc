// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/eval_tasks.h"

namespace forge::cli {
namespace {

class EvalCommand : public Command {
 public:
  std::string Name() const override { return "eval"; }
  std::string Summary() const override { return "Measure models on tasks, with intervals."; }
  std::string Example() const override {
    return "forge eval models/starter/base models/starter/math --tasks starter --limit 500";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositionals("MODEL", names_, "Model folders or GGUF files.", false);
    flags.AddConfig(config_);
    flags.AddAlias("--items", "--limit");
    flags.AddSwitch("--list-tasks", list_tasks_, "Print the names of the tasks and end.");
    model_.AddTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (list_tasks_) return ListTasks(terminal);
    if (names_.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge eval needs a model",
                   .why = "MODEL is not given",
                   .fix = "give a model folder or a GGUF file: " + Example()});
    std::vector<eval::TaskFile> files;  // all of them are read before anything is measured
    for (const std::string& spec : config_.tasks)
      if (!IsPipelineTask(spec)) files.push_back(FindTask(spec));
    std::vector<EvalRow> rows;
    for (const std::string& name : names_) {
      EvalModel model(name, model_);
      auto file = files.begin();
      for (const std::string& spec : config_.tasks)
        for (EvalRow& row : IsPipelineTask(spec) ? MeasurePipelineTask(spec, config_, model, terminal)
                                                 : MeasureTask(*file++, config_, model, terminal))
          rows.push_back(std::move(row));
    }
    terminal.Print(EvalTable(rows));
    io::Json json = {{"tasks", fmt::format("{}", fmt::join(config_.tasks, ","))},
                     {"split", config_.split.empty() ? "test" : config_.split},
                     {"results", io::Json::array()}};
    for (const EvalRow& row : rows) json["results"].push_back(EvalJson(row));
    terminal.PrintJson(json);
    return 0;
  }

 private:
  static int ListTasks(Terminal& terminal) {
    std::vector<std::string> names = eval::BuiltInTaskNames();
    names.emplace_back("starter");
    terminal.Print(fmt::format("{}\n", fmt::join(names, "\n")));
    terminal.PrintJson({{"tasks", names}});
    return 0;
  }

  std::vector<std::string> names_;
  EvalConfig config_;
  bool list_tasks_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalCommand() { return std::make_unique<EvalCommand>(); }

}  // namespace forge::cli
