// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "pipeline/evolve_stage.h"

namespace forge::cli {
namespace {

class EvoCommand : public Command {
 public:
  std::string Name() const override { return "evo"; }
  std::string Summary() const override {
    return "Evolve a merge of fine-tuned models of one family (EvoMerge).";
  }
  std::string Example() const override {
    return "forge evo --gens 50 --base-models "
           "models/starter/math,models/starter/code,models/starter/structured";
  }
  void AddFlags(FlagSet& flags) override {
    run_.AddTo(flags);
    run_.AddWorkersTo(flags);
    flags.AddConfig(config_);
    flags.AddAlias("--gens", "--generations");
  }
  int Run(const FlagSet& flags, Terminal& terminal) override {
    run_.ReadSettings(flags, config_);
    run_.ChooseAlgorithm(flags, config_.algorithm);
    pipeline::EvolveInputs inputs = pipeline::LoadEvolveInputs(config_);
    pipeline::ManagedRun run(run_.Request("evo", io::ConfigToJson(config_)), terminal, terminal.stop());
    io::Json result;
    run.Execute([&](const pipeline::RunContext& context) {
      const pipeline::LoadedModel champion = pipeline::RunEvolveStage(config_, std::move(inputs), context);
      result = context.store->FindStage(context.run, "evolve")->result;
      return io::Json{{"final_model", champion.path.string()}, {"versions", {{"forge", kVersion}}}};
    });
    terminal.PrintJson(result);
    terminal.Print(Text(result) + "the champion is in " +
                   (run.context().folder / "evolve" / "champion").string() + "\n");
    return result["verdict"] == "gain" ? 0 : 1;
  }

 private:
  static std::string Text(const io::Json& r) {
    std::string text = fmt::format("{:<12}{:>12}{:>14}{:>12}{:>8}\n", r["metric"].get<std::string>(),
                                   "champion", "best parent", "uniform", "n");
    for (const auto& [domain, row] : r["per_domain"].items())
      text +=
          fmt::format("{:<12}{:>12.3f}{:>14.3f}{:>12.3f}{:>8}\n", domain, row["champion"].get<double>(),
                      row["best_parent"].get<double>(), row["uniform"].get<double>(), row["n"].get<int>());
    text += fmt::format("{:<12}{:>12.3f}{:>14.3f}{:>12.3f}{:>8}\n", "mean", r["champion_score"].get<double>(),
                        r["best_parent_score"].get<double>(), r["uniform_score"].get<double>(),
                        r["n"].get<int>());
    text += fmt::format(
        "over the best parent ({}): {:+.1f} % [{:+.1f}, {:+.1f}], p = {:.2g}; over the uniform average: "
        "{:+.3f} [{:+.3f}, {:+.3f}]\n",
        r["best_parent"].get<std::string>(), 100 * r["gain_relative"].get<double>(),
        100 * r["gain_ci"][0].get<double>(), 100 * r["gain_ci"][1].get<double>(), r["p_value"].get<double>(),
        r["gain_over_uniform"].get<double>(), r["gain_over_uniform_ci"][0].get<double>(),
        r["gain_over_uniform_ci"][1].get<double>());
    return text + fmt::format("recipe {}, verdict {}\n", r["champion_recipe"]["recipe"].get<std::string>(),
                              r["verdict"].get<std::string>());
  }

  RunFlags run_;
  pipeline::EvolveConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeEvoCommand() { return std::make_unique<EvoCommand>(); }

}  // namespace forge::cli
