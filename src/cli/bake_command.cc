// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "io/atomic_file.h"
#include "pipeline/reason_stage.h"

namespace forge::cli {
namespace {

class BakeCommand : public Command {
 public:
  std::string Name() const override { return "bake-quietstar"; }
  std::string Summary() const override {
    return "Teach a model to think (Quiet-STaR), test whether it helps, and bake it into the weights.";
  }
  std::string Example() const override {
    return "forge bake-quietstar --model output/run-1/evolve/champion --out models/baked";
  }
  void AddFlags(FlagSet& flags) override {
    run_.AddTo(flags);
    flags.AddConfig(config_);
    flags.AddText("--models-dir", models_dir_, "Folder that names of models are looked up in.");
  }
  int Run(const FlagSet& flags, Terminal& terminal) override {
    run_.ReadSettings(flags, config_);
    if (config_.model.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge bake-quietstar needs --model",
                   .why = "there is nothing to teach",
                   .fix = "give a model folder or GGUF file"});
    if (!config_.out.empty()) io::CheckNewFolder(config_.out);
    pipeline::LoadedModel model = pipeline::LoadModel(pipeline::ResolveModel(config_.model, models_dir_));
    pipeline::QuestionSet questions = pipeline::LoadQuestions(config_, *model.tokenizer);
    pipeline::RunRequest request = run_.Request("bake-quietstar", io::ConfigToJson(config_));
    request.device = ChooseDevice(run_.device, !questions.training.empty());
    pipeline::ManagedRun run(request, terminal, terminal.stop());
    io::Json result;
    run.Execute([&](const pipeline::RunContext& context) {
      pipeline::LoadedModel baked =
          pipeline::RunReasonStage(config_, std::move(questions), std::move(model), context);
      result = context.store->FindStage(context.run, "reason")->result;
      if (!config_.out.empty()) pipeline::SaveLoadedModel(config_.out, baked, true, false);
      return io::Json{{"final_model", config_.out.empty() ? baked.path.string() : config_.out},
                      {"versions", {{"forge", kVersion}}}};
    });
    terminal.PrintJson(result);
    terminal.Print(
        Text(result) + "the model is in " +
        (config_.out.empty() ? (run.context().folder / "reason" / "baked").string() : config_.out) + "\n");
    return result["verdict"] == "baked" ? 0 : 1;
  }

  static std::string Text(const io::Json& r) {
    std::string text;
    for (const io::Json& arm : r["arms"])
      text += fmt::format("{:<4}{:<26}{:.3f} [{:.3f}, {:.3f}]  n = {}\n", arm["name"].get<std::string>(),
                          arm["label"].get<std::string>(), arm["accuracy"].get<double>(),
                          arm["ci"][0].get<double>(), arm["ci"][1].get<double>(), arm["n"].get<int>());
    for (const auto& [domain, row] : r["guards"].items())
      text += fmt::format("guard {:<12}{:.3f} before, {:.3f} after, n = {}\n", domain,
                          row["before"].get<double>(), row["after"].get<double>(), row["n"].get<int>());
    text += fmt::format("thoughts {:+.1f} points (placebo {:+.1f}), p = {:.2g}",
                        r["thought_gain_points"].get<double>(), r["placebo_gain_points"].get<double>(),
                        r["p_value"].get<double>());
    if (r["retention"].is_number())
      text += fmt::format("; baked retention {:.2f}", r["retention"].get<double>());
    if (r["retention_ci"].is_array())
      text += fmt::format(" [{:.2f}, {:.2f}]", r["retention_ci"][0].get<double>(),
                          r["retention_ci"][1].get<double>());
    return text + fmt::format("\nverdict {}{}\n", r["verdict"].get<std::string>(),
                              r["why"].get<std::string>().empty() ? "" : ": " + r["why"].get<std::string>());
  }

 private:
  RunFlags run_;
  std::string models_dir_ = "models";
  pipeline::ReasonConfig config_;
};

}  // namespace

std::unique_ptr<Command> MakeBakeCommand() { return std::make_unique<BakeCommand>(); }

}  // namespace forge::cli
