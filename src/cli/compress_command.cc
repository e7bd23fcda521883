// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>

#include "cli/command_list.h"
#include "cli/run_flags.h"
#include "io/atomic_file.h"
#include "pipeline/compress_stage.h"

namespace forge::cli {
namespace {

class CompressCommand : public Command {
 public:
  std::string Name() const override { return "compress"; }
  std::string Summary() const override {
    return "Compress a model to ternary weights (BitNet b1.58) in a GGUF file, and measure what is left of "
           "it.";
  }
  std::string Example() const override {
    return "forge compress --input-model models/baked --output-model out/model.gguf";
  }
  void AddFlags(FlagSet& flags) override {
    run_.AddTo(flags);
    flags.AddConfig(settings_);
    flags.AddText("--models-dir", models_dir_, "Folder that names of models are looked up in.");
  }
  int Run(const FlagSet& flags, Terminal& terminal) override {
    run_.ReadSettings(flags, settings_);
    if (settings_.input_model.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge compress needs --input-model",
                   .why = "there is nothing to compress",
                   .fix = "give a model folder or GGUF file"});
    if (!settings_.output_model.empty() && std::filesystem::exists(settings_.output_model))
      throw Error({.what = "will not overwrite " + settings_.output_model,
                   .why = "it exists",
                   .fix = "choose another --output-model, or remove it"});
    const pipeline::OpenedModel model =
        pipeline::OpenModel(pipeline::ResolveModel(settings_.input_model, models_dir_));
    pipeline::CheckCanCompress(model);
    const std::vector<eval::DomainItems> domains = pipeline::LoadCompressDomains(settings_, model.config);
    pipeline::RunRequest request = run_.Request("compress", io::ConfigToJson(settings_));
    request.device = ChooseDevice(run_.device, compress::NeedsEngine(settings_.compress));
    pipeline::ManagedRun run(request, terminal, terminal.stop());
    io::Json result;
    std::filesystem::path file;
    run.Execute([&](const pipeline::RunContext& context) {
      file = pipeline::RunCompressStage(settings_, domains, model, context);
      result = context.store->FindStage(context.run, "compress")->result;
      if (!settings_.output_model.empty()) {
        const std::filesystem::path parent = std::filesystem::path(settings_.output_model).parent_path();
        if (!parent.empty()) io::CreateFolders(parent);
        io::CopyFileAtomically(file, settings_.output_model);
        file = settings_.output_model;
      }
      return io::Json{{"final_model", file.string()}, {"versions", {{"forge", kVersion}}}};
    });
    terminal.PrintJson(result);
    terminal.Print(CompressText(result) + "the model is in " + file.string() + "\n");
    return result["passed"].get<bool>() ? 0 : 1;
  }

 private:
  RunFlags run_;
  std::string models_dir_ = "models";
  pipeline::CompressSettings settings_;
};

/// Accuracies with their intervals, or nats a token and what the perplexity grew by.
std::string DomainText(const std::string& domain, const io::Json& row) {
  const double before = row["before"], after = row["after"];
  const auto score = [&](const char* interval, double value) {
    return row.contains(interval)
               ? fmt::format("{:.3f} [{:.3f}, {:.3f}]", value, row[interval][0].get<double>(),
                             row[interval][1].get<double>())
               : fmt::format("{:.3f}", value);
  };
  std::string text =
      fmt::format("{:<16}{} before, {} after, retention {:.3f}", domain, score("before_ci", before),
                  score("after_ci", after), row["retention"].get<double>());
  if (row.contains("retention_above_chance"))
    text += fmt::format(", {:.3f} above chance", row["retention_above_chance"].get<double>());
  if (row.contains("p_value")) text += fmt::format(", p {:.2g}", row["p_value"].get<double>());
  if (before < 0) text += fmt::format(", perplexity x {:.3g}", std::exp(before - after));
  return text + fmt::format(", n = {}\n", row["n"].get<int>());
}

}  // namespace

std::string CompressText(const io::Json& r) {
  std::string text = fmt::format("{:<16}{:>12}{:>12}\n", "file", "bytes", "retention");
  for (const io::Json& file : r["files"])
    text += fmt::format(
        "{:<16}{:>12}{:>12}\n", file["name"].get<std::string>(), file["bytes"].get<std::uint64_t>(),
        file["retention"].is_number() ? fmt::format("{:.3f}", file["retention"].get<double>()) : "-");
  for (const auto& [domain, row] : r["per_domain"].items()) text += DomainText(domain, row);
  if (r.contains("compared"))
    for (const auto& [name, error] : r["compared"].items())
      text += fmt::format("{:<24}relative output error {:.4f}\n", name, error.get<double>());
  return text + fmt::format("{:.2f} times smaller than fp16, {:.3f} bits per weight in the linears\n",
                            r["ratio"].get<double>(), r["bits_per_weight"].get<double>());
}

std::unique_ptr<Command> MakeCompressCommand() { return std::make_unique<CompressCommand>(); }

}  // namespace forge::cli
