// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <new>

#include "base/error.h"
#include "base/nearest_name.h"
#include "cli/command.h"

namespace forge::cli {
namespace {

std::string ProgramHelp() {
  std::string text =
      "forge: merge, teach to think, compress and run small language models\n\nUsage: forge <command> "
      "[flags]\n\nCommands:\n";
  for (const CommandEntry& entry : Commands())
    text += fmt::format("  {:<16} {}\n", entry.name, entry.make()->Summary());
  return text +
         "\n`forge <command> --help` shows a command's flags and an example; `forge --version` the "
         "version.\n";
}

int RunCommand(const std::vector<std::string>& arguments) {
  const std::string& name = arguments.front();
  std::vector<std::string> names;
  for (const CommandEntry& entry : Commands()) {
    names.push_back(entry.name);
    if (entry.name != name) continue;
    const std::unique_ptr<Command> command = entry.make();
    FlagSet flags;
    command->AddFlags(flags);
    std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (std::find(rest.begin(), rest.end(), "--help") != rest.end() ||
        std::find(rest.begin(), rest.end(), "-h") != rest.end()) {
      std::fputs(flags.Help(name, command->Summary(), command->Example()).c_str(), stdout);
      return 0;
    }
    const bool json = std::erase(rest, "--json") > 0;
    flags.Parse(rest, name);
    InstallSignalHandlers();
    Terminal terminal(json);
    try {
      return command->Run(flags, terminal);
    } catch (...) {
      terminal.ClearProgress();
      throw;
    }
  }
  const std::optional<std::string> nearest = NearestName(name, names);
  throw Error({.kind = ErrorKind::kUsage,
               .what = "unknown command " + name,
               .why = "forge has no such command",
               .fix = nearest ? "did you mean forge " + *nearest + "?" : "forge --help lists the commands"});
}

}  // namespace

int RunProgram(const std::vector<std::string>& arguments) {
  try {
    if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
      std::fputs(ProgramHelp().c_str(), arguments.empty() ? stderr : stdout);
      return arguments.empty() ? static_cast<int>(ErrorKind::kUsage) : 0;
    }
    if (arguments[0] == "--version") {
      fmt::print("forge {}\n", kVersion);
      return 0;
    }
    return RunCommand(arguments);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    fmt::print(stderr,
               "error: out of memory\n  why: this machine has less free memory than the step needs\n  fix: "
               "close other programs, or use a smaller model\n");
    return static_cast<int>(ErrorKind::kEnvironment);
  } catch (const std::exception& error) {
    fmt::print(
        stderr,
        "error: something in forge went wrong\n  why: {}\n  fix: please report it with the command you ran\n",
        error.what());
    return static_cast<int>(ErrorKind::kEnvironment);
  }
}

}  // namespace forge::cli
