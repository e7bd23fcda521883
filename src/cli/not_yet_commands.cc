// SPDX-License-Identifier: Apache-2.0
// Commands that are announced and come with a later release. They never give a result.
#include "base/error.h"
#include "cli/command_list.h"

namespace forge::cli {
namespace {

class NotYetCommand : public Command {
 public:
  NotYetCommand(std::string name, std::string summary, std::string instead)
      : name_(std::move(name)), summary_(std::move(summary)), instead_(std::move(instead)) {}
  std::string Name() const override { return name_; }
  std::string Summary() const override { return summary_ + " (not in this release)"; }
  std::string Example() const override { return "forge " + name_; }
  void AddFlags(FlagSet& flags) override { flags.AddPositionals("ARGUMENT", ignored_, "Not read.", false); }
  int Run(const FlagSet&, Terminal&) override {
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "forge " + name_ + " is not part of this release",
                 .why = "it is planned (docs/roadmap.md) and does nothing yet",
                 .fix = instead_});
  }

 private:
  std::string name_, summary_, instead_;
  std::vector<std::string> ignored_;
};

std::unique_ptr<Command> Make(const char* name, const char* summary, const char* instead) {
  return std::make_unique<NotYetCommand>(name, summary, instead);
}

}  // namespace

std::unique_ptr<Command> MakeServeCommand() {
  return Make("serve", "Serve a model over an OpenAI-compatible API.", "use forge generate or forge chat");
}

}  // namespace forge::cli
