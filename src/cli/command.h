// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/flag_set.h"
#include "cli/terminal.h"

namespace forge::cli {

/// One subcommand: one class in one file, made by its function in command_list.h.
class Command {
 public:
  virtual ~Command() = default;
  virtual std::string Name() const = 0;
  virtual std::string Summary() const = 0;  // one sentence
  virtual std::string Example() const = 0;  // a command line that works
  virtual void AddFlags(FlagSet& flags) = 0;
  /// Returns the exit code: 0, or 1 when the work ran and its gate said no. Trouble throws Error.
  virtual int Run(const FlagSet& flags, Terminal& terminal) = 0;
};

struct CommandEntry {
  std::string name;
  std::unique_ptr<Command> (*make)();
};

/// Every command, in the order of `forge --help`.
const std::vector<CommandEntry>& Commands();

}  // namespace forge::cli
