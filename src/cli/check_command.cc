// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/gguf.h"
#include "merge/compatibility.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "text/gguf_tokenizer.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

class CheckCommand : public Command {
 public:
  std::string Name() const override { return "check"; }
  std::string Summary() const override {
    return "Say whether models can be merged, and if not, all that differs.";
  }
  std::string Example() const override { return "forge check models/starter/math models/starter/code"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositionals("MODEL", names_, "Two or more model folders or GGUF files.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (names_.size() < 2)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge check needs two models or more",
                   .why = "there is nothing to compare " + names_[0] + " with",
                   .fix = "forge check MODEL MODEL"});
    std::vector<merge::NamedConfig> configs;
    std::vector<std::string> differences;
    std::unique_ptr<text::Tokenizer> first;
    for (const std::string& name : names_) {
      const fs::path path = model_.Resolve(name);
      configs.push_back({name, ReadConfig(path)});
      std::unique_ptr<text::Tokenizer> tokenizer = text::LoadTokenizer(path);
      if (first == nullptr)
        first = std::move(tokenizer);
      else if (tokenizer->data().tokens != first->data().tokens)
        differences.push_back(
            fmt::format("the tokens of the tokenizer differ in {} and {}", names_[0], name));
    }
    const std::vector<std::string> shapes = merge::FindDifferences(configs);
    differences.insert(differences.begin(), shapes.begin(), shapes.end());
    std::string text = differences.empty() ? fmt::format("the {} models can be merged\n", names_.size())
                                           : "these models cannot be merged:\n";
    for (const std::string& difference : differences) text += "  " + difference + "\n";
    terminal.Print(text);
    terminal.PrintJson(
        {{"models", names_}, {"compatible", differences.empty()}, {"differences", differences}});
    return differences.empty() ? 0 : 1;
  }

 private:
  static model::ModelConfig ReadConfig(const fs::path& path) {
    if (pipeline::IsLoraFolder(path))
      throw Error({.what = "cannot check " + path.string() + " alone",
                   .why = "it is a LoRA adapter, which has the shape of the model it changes",
                   .fix = "check the model that it belongs to"});
    if (fs::is_directory(path)) return model::ReadModelConfig(path / "config.json");
    return model::GgufConfig(io::GgufFile(path));
  }

  std::vector<std::string> names_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeCheckCommand() { return std::make_unique<CheckCommand>(); }

}  // namespace forge::cli
