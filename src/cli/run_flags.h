// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/flag_set.h"
#include "cli/program.h"
#include "io/config_file.h"
#include "pipeline/run_manager.h"

namespace forge::cli {

/// The flags that every command shares that starts a run.
struct RunFlags {
  std::string output_dir = "output";
  std::string config_file;
  std::string resume;
  std::string device = "auto";
  std::uint64_t seed = 1;

  void AddTo(FlagSet& flags);

  /// Sets `config` from the resumed run or from --config; a flag that was given wins over --config, and is
  /// refused together with --resume, whose run keeps its settings.
  template <class Config>
  void ReadSettings(const FlagSet& flags, Config& config) {
    const io::Json given = io::ConfigToJson(config);  // defaults overlaid with the flags
    if (!resume.empty()) {
      io::ApplyConfigJson(config, pipeline::ReadRunConfig(output_dir, resume), resume, false);
    } else if (!config_file.empty()) {
      io::ApplyConfigJson(config, io::ReadConfigFile(config_file), config_file);
      for (const std::string& name : io::FieldNames(config)) {
        std::string flag = "--" + name;
        std::replace(flag.begin(), flag.end(), '_', '-');
        if (flags.Has(flag) && flags.Given(flag))
          io::ApplyConfigJson(config, io::Json{{name, given.at(name)}}, flag);
      }
    }
  }

  pipeline::RunRequest Request(const std::string& command, io::Json config) const;
};

/// "auto" becomes cuda where the engine has a device, else cpu. Opens the engine for cuda and for whatever
/// `trains`, so that a command without one stops before it writes anything: Error(kEnvironment).
std::string ChooseDevice(const std::string& device, bool trains);

}  // namespace forge::cli
