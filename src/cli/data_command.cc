// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "base/error.h"
#include "cli/command_list.h"
#include "hub/data_pull.h"

namespace forge::cli {
namespace {

class DataCommand : public Command {
 public:
  std::string Name() const override { return "data"; }
  std::string Summary() const override { return "List data sets of the hub, or fetch some as JSON lines."; }
  std::string Example() const override { return "forge data pull gsm8k wikitext"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositionals("ACTION", words_, "list, or pull and the names of data sets.");
    flags.AddText("--data-dir", data_dir_,
                  "Folder to write NAME/SPLIT.jsonl into; default $FORGE_DATA, else data.");
    flags.AddSwitch("--offline", offline_, "Use what is in the cache only.");
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const std::string action = words_.front();
    const std::vector<std::string> names(words_.begin() + 1, words_.end());
    if (action == "list" && names.empty()) return List(terminal);
    if (action == "pull" && !names.empty()) return PullAll(names, terminal);
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot do forge data {}", fmt::join(words_, " ")),
                 .why = action == "pull"   ? "it names no data set"
                        : action == "list" ? "list takes no names"
                                           : "there are list and pull",
                 .fix = "forge data list, or forge data pull NAME..."});
  }

 private:
  int List(Terminal& terminal) const {
    io::Json report = io::Json::array();
    std::string text;
    for (const hub::DataSet& data_set : hub::KnownDataSets()) {
      text += fmt::format("{:<16}{:<30}  {}\n", data_set.name, data_set.repository, data_set.about);
      report.push_back({{"name", data_set.name},
                        {"repository", data_set.repository},
                        {"configs", data_set.configs},
                        {"splits", data_set.splits},
                        {"about", data_set.about}});
    }
    terminal.Print(text);
    terminal.PrintJson(report);
    return 0;
  }

  int PullAll(const std::vector<std::string>& names, Terminal& terminal) const {
    for (const std::string& name : names) hub::FindDataSet(name);  // all names before the first byte
    hub::HubSettings settings = hub::ReadHubSettings();
    settings.offline = settings.offline || offline_;
    const char* variable = std::getenv("FORGE_DATA");
    const std::filesystem::path folder = !data_dir_.empty()    ? data_dir_
                                         : variable != nullptr ? variable
                                                               : "data";
    io::Json report = io::Json::array();
    for (const std::string& name : names) {
      const hub::DataPullResult result =
          hub::PullDataSet(settings, hub::FindDataSet(name), folder, terminal, terminal.stop());
      io::Json entry = {{"name", name},
                        {"folder", result.folder.string()},
                        {"commit", result.commit},
                        {"was_there", result.was_there}};
      for (const hub::PulledSplit& split : result.splits) {
        terminal.Print(fmt::format("{}: {} rows, {} bytes{}\n",
                                   (result.folder / (split.name + ".jsonl")).string(), split.rows,
                                   split.bytes, result.was_there ? ", was there" : ""));
        entry["splits"][split.name] = {
            {"rows", split.rows}, {"bytes", split.bytes}, {"sha256", split.sha256}};
      }
      report.push_back(std::move(entry));
    }
    terminal.PrintJson(report);
    return 0;
  }

  std::vector<std::string> words_;
  std::string data_dir_;
  bool offline_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeDataCommand() { return std::make_unique<DataCommand>(); }

}  // namespace forge::cli
