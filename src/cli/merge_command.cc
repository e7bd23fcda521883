// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "cli/shard_flag.h"
#include "io/atomic_file.h"
#include "merge/method_table.h"
#include "pipeline/model_merge.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;
using io::Json;

std::string MethodList() {
  std::string text;
  for (const merge::MethodInfo& method : merge::MethodTable()) {
    text += fmt::format("{:<17} {} [{}]\n", method.name, method.summary, method.source);
    for (const merge::ParameterRule& rule : method.parameters) {
      const bool is_flag = rule.type == merge::ParameterRule::Type::kFlag;
      const std::string value = !rule.default_value ? "required"
                                : is_flag ? (*rule.default_value != 0 ? "default true" : "default false")
                                          : fmt::format("default {:g}", *rule.default_value);
      text += fmt::format("    {:<18} {}{}; {}\n", rule.name, rule.per_model ? "per model, " : "", value,
                          rule.help);
    }
  }
  return text;
}

Json MethodJson() {
  Json methods = Json::array();
  for (const merge::MethodInfo& method : merge::MethodTable()) {
    Json parameters = Json::array();
    for (const merge::ParameterRule& rule : method.parameters)
      parameters.push_back({{"name", rule.name},
                            {"per_model", rule.per_model},
                            {"default", rule.default_value ? Json(*rule.default_value) : Json(nullptr)},
                            {"help", rule.help}});
    methods.push_back({{"name", method.name},
                       {"summary", method.summary},
                       {"source", method.source},
                       {"parameters", std::move(parameters)}});
  }
  return methods;
}

/// What becomes of the vocabularies: nothing where they stay as they are.
std::string VocabularyText(const Json& vocabulary) {
  if (vocabulary.is_null()) return "";
  const auto number = [](const Json& counts, const char* key) { return counts[key].get<int>(); };
  std::string text =
      fmt::format("vocabulary ({}): {} tokens in {} rows, {} in all models, {} new to the base\n",
                  vocabulary["source"].get<std::string>(), number(vocabulary, "tokens"),
                  number(vocabulary, "rows"), number(vocabulary, "shared"), number(vocabulary, "added"));
  for (const Json& model : vocabulary["models"]) {
    text += fmt::format("  {}: {} rows before, {} of them kept", model["name"].get<std::string>(),
                        number(model, "rows_before"), number(model, "own"));
    for (const auto& [key, meaning] : {std::pair{"only_owner", "from the only model with the token"},
                                       {"base", "from the base"},
                                       {"mean", "the mean of several models"},
                                       {"zero", "zero"},
                                       {"overridden", "as tokens: says"},
                                       {"padding", "padding"},
                                       {"dropped", "tokens dropped"}})
      if (number(model, key) > 0) text += fmt::format(", {} {}", number(model, key), meaning);
    text += "\n";
  }
  return text;
}

std::string PreviewText(const Json& preview) {
  std::string text = fmt::format("{} of\n", preview["method"].get<std::string>());
  for (const Json& model : preview["models"])
    text += model["name"] == model["path"] ? fmt::format("  {}\n", model["name"].get<std::string>())
                                           : fmt::format("  {}  ({})\n", model["name"].get<std::string>(),
                                                         model["path"].get<std::string>());
  text += fmt::format(
      "gives {} parameters in {} tensors, {} layers, {}, {:.1f} MB; config and tokenizer of {}\n"
      "needs {:.0f} MB of memory and about {:.1f} s, without what the disk adds\n",
      preview["parameters"].get<std::uint64_t>(), preview["tensors"].get<std::size_t>(),
      preview["layers"].get<int>(), preview["dtype"].get<std::string>(), preview["bytes"].get<double>() / 1e6,
      preview["config_from"].get<std::string>(), preview["memory_bytes"].get<double>() / 1e6,
      preview["estimated_seconds"].get<double>());
  text += VocabularyText(preview["vocabulary"]);
  if (preview["chat_template"].is_string())
    text += fmt::format("chat template: {}\n", preview["chat_template"].get<std::string>());
  for (const Json& note : preview["notes"]) text += "note: " + note.get<std::string>() + "\n";
  return text;
}

std::string ReportText(const Json& report, const std::string& out) {
  std::string text =
      fmt::format("{}: {} parameters, {}, {:.1f} MB, merged in {:.2f} s\n", out,
                  report["parameters"].get<std::uint64_t>(), report["dtype"].get<std::string>(),
                  report["bytes"].get<double>() / 1e6, report["merge_seconds"].get<double>());
  for (const Json& note : report["notes"]) text += "note: " + note.get<std::string>() + "\n";
  for (const Json& warning : report["warnings"]) text += "warning: " + warning.get<std::string>() + "\n";
  return text;
}

class MergeCommand : public Command {
 public:
  std::string Name() const override { return "merge"; }
  std::string Summary() const override { return "Merge models as a mergekit YAML file says."; }
  std::string Example() const override { return "forge merge recipe.yml models/merged"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("CONFIG", config_, "A config of mergekit (docs/merging.md).", false);
    flags.AddPositional("OUT", out_, "The folder to write.", false);
    flags.AddWord(
        "--numerics", numerics_, {"exact", "mergekit"},
        "exact: float32 sums, rounded once, defects mended. mergekit: mergekit 0.1.5's arithmetic, op by "
        "op in the config's dtype.");
    flags.AddText(
        "--masks", masks_,
        "With mergekit numerics: safetensors file of the choices that mergekit made at random or among "
        "equals.");
    flags.AddSeed("--random-seed", seed_, "Seed of the methods that drop changes at random.");
    shards_.AddTo(flags);
    flags.AddText(
        "--intermediate-dir", intermediate_,
        "Where the named merges of a file of several go; those that are there already are not made again.");
    flags.AddSwitch("--dry-run", dry_run_,
                    "Show what would be done, with memory and time, and write nothing.");
    flags.AddSwitch("--no-hash", no_hash_, "Leave out the sha256 of models and result in the report.");
    flags.AddSwitch("--no-smoke-test", no_smoke_test_, "Do not run the result on a text and four prompts.");
    flags.AddSwitch("--methods", methods_, "List the merge methods with their parameters and end.");
    flags.AddSwitch("--replace", replace_, "Replace OUT if it is there.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    if (methods_) {
      terminal.Print(MethodList());
      terminal.PrintJson({{"methods", MethodJson()}});
      return 0;
    }
    CheckArguments();
    const std::string text = io::ReadFile(config_);
    std::vector<merge::MergeConfig> configs = merge::ParseMergeConfigs(text, config_);
    Json results = Json::array();
    for (merge::MergeConfig& config : configs) results.push_back(RunOne(std::move(config), text, terminal));
    terminal.PrintJson(results.size() == 1 ? results[0] : Json{{"merges", results}});
    return 0;
  }

 private:
  void CheckArguments() const {
    if (config_.empty() || (out_.empty() && !dry_run_))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "forge merge needs a config and a folder",
                   .why = config_.empty() ? "CONFIG is not given" : "OUT is not given",
                   .fix = "forge merge CONFIG.yml OUT"});
    if (!masks_.empty() && numerics_ != "mergekit")
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot use --masks",
                   .why = "it is for mergekit's arithmetic; the exact one draws its own",
                   .fix = "add --numerics mergekit, or leave --masks out"});
    shards_.Check();
  }

  /// A named merge of several goes to the intermediate folder; later ones find it by its name.
  fs::path OutOf(const merge::MergeConfig& config) const {
    if (config.name.empty()) return out_;
    if (intermediate_.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot merge " + config.source,
                   .why = "it has named results, and there is no folder for them",
                   .fix = "give --intermediate-dir FOLDER"});
    return fs::path(intermediate_) / config.name;
  }

  Json RunOne(merge::MergeConfig config, const std::string& text, Terminal& terminal) {
    const fs::path out = OutOf(config);
    const std::string name = config.name;
    if (!name.empty()) named_[name] = out;
    if (!name.empty() && IsMade(out, text)) {
      terminal.Log(fmt::format("merge: {} is there already", out.string()));
      return io::ReadJsonFile(out / "merge_report.json");
    }
    if (!dry_run_ && !replace_) io::CheckNewFolder(out);
    pipeline::ModelMerge merge(std::move(config), Settings(text), [&](const std::string& model) {
      const auto found = named_.find(model);
      return found != named_.end() ? found->second : model_.Resolve(model);
    });
    if (dry_run_) {
      const Json preview = merge.Preview();
      terminal.Print(PreviewText(preview));
      return preview;
    }
    const Json report = merge.Write(out, terminal, terminal.stop());
    terminal.ClearProgress();
    terminal.Print(ReportText(report, out.string()));
    return report;
  }

  /// By the same recipe and settings.
  bool IsMade(const fs::path& out, const std::string& text) const {
    if (replace_ || !fs::exists(out / "merge_report.json")) return false;
    const Json report = io::ReadJsonFile(out / "merge_report.json");
    return report.value("recipe", "") == text && report.value("numerics", "") == numerics_ &&
           report.value("seed", std::uint64_t{0}) == seed_;
  }

  pipeline::ModelMergeSettings Settings(const std::string& text) const {
    return {.recipe = text,
            .mergekit_numerics = numerics_ == "mergekit",
            .masks = masks_,
            .seed = seed_,
            .max_shard_bytes = shards_.bytes(),
            .replace = replace_,
            .hash = !no_hash_,
            .smoke_test = !no_smoke_test_};
  }

  std::string config_, out_, numerics_ = "exact", masks_, intermediate_;
  std::uint64_t seed_ = 42;
  ShardFlag shards_;
  bool dry_run_ = false, no_hash_ = false, no_smoke_test_ = false, methods_ = false, replace_ = false;
  std::map<std::string, fs::path> named_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeMergeCommand() { return std::make_unique<MergeCommand>(); }

}  // namespace forge::cli
