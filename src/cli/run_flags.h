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

  int workers = 0;
  bool external_workers = false;

  void AddTo(FlagSet& flags);
  /// Those of a run with a search.
  void AddWorkersTo(FlagSet& flags);

  /// Sets `config` from the resumed run or from --config; a flag that was given wins over --config, and is
  /// refused together with --resume, whose run keeps its settings.
  template <class Config>
  void ReadSettings(const FlagSet& flags, Config& config) {
    const io::Json given = io::ConfigToJson(config);  // defaults overlaid with the flags
    if (!resume.empty()) {
      io::ApplyConfigJson(config, pipeline::ReadRunConfig(output_dir, resume), resume, false);
    } else if (!config_file.empty()) {
      file_settings_ = io::ReadConfigFile(config_file);
      io::ApplyConfigJson(config, file_settings_, config_file);
      for (const std::string& name : io::FieldNames(config))
        if (IsFlagGiven(flags, name))
          io::ApplyConfigJson(config, io::Json{{name, given.at(name)}}, FlagOf(name));
    }
  }
  /// Whether a flag or --config sets the field.
  bool IsGiven(const FlagSet& flags, const std::string& field) const {
    return IsFlagGiven(flags, field) || file_settings_.contains(field);
  }

  /// Who says how many generations wants the algorithm that has them.
  void ChooseAlgorithm(const FlagSet& flags, std::string& algorithm) const {
    if (resume.empty() && IsGiven(flags, "generations") && !IsGiven(flags, "algorithm"))
      algorithm = "classic";
  }

  pipeline::RunRequest Request(const std::string& command, io::Json config) const;

 private:
  static std::string FlagOf(std::string field) {
    std::replace(field.begin(), field.end(), '_', '-');
    return "--" + field;
  }
  static bool IsFlagGiven(const FlagSet& flags, const std::string& field) {
    return flags.Has(FlagOf(field)) && flags.Given(FlagOf(field));
  }

  io::Json file_settings_ = io::Json::object();
};

/// "auto" becomes cuda where the engine has a device, else cpu. Opens the engine for cuda and for whatever
/// `trains`, so that a command without one stops before it writes anything: Error(kEnvironment).
std::string ChooseDevice(const std::string& device, bool trains);

}  // namespace forge::cli
