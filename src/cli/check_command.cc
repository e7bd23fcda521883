// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "merge/compatibility.h"
#include "model/stored_tensors.h"
#include "text/load_tokenizer.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;
using Kind = merge::Difference::Kind;

class CheckCommand : public Command {
 public:
  std::string Name() const override { return "check"; }
  std::string Summary() const override {
    return "Say whether models can be merged: what forbids it, and what needs a decision.";
  }
  std::string Example() const override { return "forge check models/starter/math models/starter/code"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositionals("MODEL", names_, "Two or more model folders or GGUF files, or BASE+ADAPTER.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (names_.size() < 2)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge check needs two models or more",
                   .why = "there is nothing to compare " + names_[0] + " with",
                   .fix = "forge check MODEL MODEL"});
    std::vector<merge::ModelFacts> models;
    for (const std::string& name : names_) models.push_back(ReadFacts(name));
    const std::vector<merge::Difference> differences = merge::CompareModels(models);
    io::Json all = io::Json::array();
    std::size_t forbidding = 0;
    for (const merge::Difference& difference : differences) {
      const bool forbids = difference.kind == Kind::kForbids;
      forbidding += forbids;
      all.push_back({{"field", difference.field},
                     {"kind", forbids ? "forbids" : "decision"},
                     {"text", difference.text},
                     {"advice", difference.advice}});
    }
    terminal.Print(Text(differences, forbidding));
    terminal.PrintJson({{"models", names_},
                        {"compatible", forbidding == 0},
                        {"decisions", differences.size() - forbidding},
                        {"differences", std::move(all)}});
    return forbidding == 0 ? 0 : 1;
  }

 private:
  merge::ModelFacts ReadFacts(const std::string& name) const {
    const fs::path path = model_.Resolve(name), base = pipeline::PartsOf(path).base;
    const std::string type_of_sums = pipeline::PartsOf(path).adapters.empty() ? "" : " with adapters";
    pipeline::OpenWeights(path);  // that adapters fit
    const model::StoredModel stored = model::ReadStoredModel(base);
    merge::ModelFacts facts{.name = name,
                            .config = stored.config,
                            .type = model::LinearTypes(stored) + type_of_sums,
                            .tokenizer = {}};
    try {
      ReadTokenizer(base, facts);
    } catch (const Error& error) {
      facts.tokenizer_error = error.fields().why;
    }
    return facts;
  }

  static void ReadTokenizer(const fs::path& base, merge::ModelFacts& facts) {
    if (!pipeline::HasTokenizer(base)) return;
    const auto tokenizer = text::LoadTokenizer(base);
    const text::TokenizerData& data = tokenizer->data();
    facts.tokenizer = {.tokens = data.tokens, .special_ids = {}, .chat_template = data.chat_template};
    for (const auto& [role, id] :
         {std::pair{"bos", data.bos}, std::pair{"eos", data.eos}, std::pair{"pad", data.pad}})
      if (id) facts.tokenizer->special_ids[role] = *id;
  }

  std::string Text(const std::vector<merge::Difference>& differences, std::size_t forbidding) const {
    const std::size_t decisions = differences.size() - forbidding;
    std::string text;
    if (differences.empty()) text = fmt::format("the {} models can be merged as they are\n", names_.size());
    if (forbidding > 0) text += "these models cannot be merged:\n" + Lines(differences, Kind::kForbids);
    if (decisions > 0)
      text += fmt::format("{} {}:\n", decisions,
                          decisions == 1 ? "difference needs a decision" : "differences need a decision") +
              Lines(differences, Kind::kNeedsDecision);
    return text;
  }
  static std::string Lines(const std::vector<merge::Difference>& differences, Kind kind) {
    std::string text;
    for (const merge::Difference& difference : differences)
      if (difference.kind == kind) text += fmt::format("  {}\n    {}\n", difference.text, difference.advice);
    return text;
  }

  std::vector<std::string> names_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeCheckCommand() { return std::make_unique<CheckCommand>(); }

}  // namespace forge::cli
