// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/generation.h"
#include "io/atomic_file.h"

namespace forge::cli {
namespace {

class GenerateCommand : public Command {
 public:
  std::string Name() const override { return "generate"; }
  std::string Summary() const override { return "Write text with a model, shown as it comes."; }
  std::string Example() const override {
    return "forge generate models/starter/math --prompt \"m 324   =\" --max-new-tokens 16";
  }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a GGUF or packed file.");
    flags.AddText("--prompt", prompt_, "Text to go on from.");
    flags.AddText("--prompt-file", prompt_file_, "File with the text to go on from.", "file");
    flags.AddConfig(sampling_);
    model_.AddTo(flags, "auto");
    model_.AddHeadTo(flags);
    model_.AddPinTo(flags);
  }

  int Run(const FlagSet& flags, Terminal& terminal) override {
    if (flags.Given("--prompt") == flags.Given("--prompt-file"))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge generate needs one prompt",
                   .why = flags.Given("--prompt") ? "both --prompt and --prompt-file are given"
                                                  : "neither --prompt nor --prompt-file is given",
                   .fix = "give --prompt TEXT"});
    if (flags.Given("--prompt-file")) prompt_ = io::ReadFile(prompt_file_);
    const RunnableModel model = model_.LoadToRun(name_);
    const std::vector<int> prompt = model.Encode(prompt_);
    const std::unique_ptr<PinnedThreads> pinned = model_.Pin();
    GeneratedText result;
    try {
      runtime::Session session(*model.model);
      result = GenerateText(model, session, prompt, sampling_, terminal.stop(),
                            [&](const std::string& piece) { terminal.Stream(piece); });
    } catch (const Error&) {
      terminal.Print("\n");
      throw;
    }
    terminal.Print("\n");
    terminal.Log(fmt::format("{} tokens, {:.1f} tokens/s; prompt {} tokens, {:.1f} tokens/s",
                             result.tokens.size(), result.tokens_per_second, prompt.size(),
                             result.prompt_tokens_per_second));
    terminal.PrintJson({{"text", result.text},
                        {"tokens", result.tokens.size()},
                        {"token_ids", result.tokens},
                        {"prompt_tokens", prompt.size()},
                        {"stopped", result.stopped},
                        {"tokens_per_second", result.tokens_per_second},
                        {"prompt_tokens_per_second", result.prompt_tokens_per_second}});
    return 0;
  }

 private:
  std::string name_, prompt_, prompt_file_;
  SamplingConfig sampling_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeGenerateCommand() { return std::make_unique<GenerateCommand>(); }

}  // namespace forge::cli
