// SPDX-License-Identifier: Apache-2.0
#include "pipeline/presets.h"

#include "base/error.h"
#include "io/config_file.h"
#include "pipeline/tasks.h"

namespace forge::pipeline {
namespace {

io::Json SettingsOf(const std::string& preset) {
  if (preset == "smoke")
    return {{"algorithm", "classic"}, {"generations", 1},    {"search_items", 12},
            {"selection_items", 12},  {"test_items", 32},    {"finalists", 4},
            {"eval_samples", 60},     {"compress_steps", 0}, {"calibration_samples", 60}};
  return {{"algorithm", "classic"},   {"generations", 4},      {"search_items", 24},
          {"selection_items", 24},    {"test_items", 96},      {"finalists", 8},
          {"eval_samples", 200},      {"compress_steps", 300}, {"compress_learning_rate", 1e-3},
          {"calibration_samples", 90}};
}

}  // namespace

void ApplyPreset(const std::function<bool(const std::string& field)>& is_given, UnifiedConfig& config) {
  if (config.preset == "starter") return;
  if (config.evolve.tasks == "starter")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "--preset " + config.preset + " needs tasks of ordinary text",
                 .why = "the starter tasks say nothing about a real model",
                 .fix = "give --tasks data:FOLDER, or a JSONL file and --eval-dataset"});
  io::Json settings = SettingsOf(config.preset);
  settings["calibration_dataset"] = config.evolve.tasks;
  if (DataFolderOf(config.evolve.tasks)) settings["eval_dataset"] = config.evolve.tasks;
  for (auto entry = settings.begin(); entry != settings.end();)
    entry = is_given(entry.key()) ? settings.erase(entry) : std::next(entry);
  io::ApplyConfigJson(config, settings, "--preset " + config.preset);
  if (!config.no_quietstar && config.reason.eval_dataset == "starter")
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "--preset " + config.preset + " needs questions of ordinary text",
                 .why = "the starter's questions say nothing about a real model",
                 .fix = "give --eval-dataset gsm8k:FILE.jsonl, or leave the stage out with --no-quietstar"});
}

}  // namespace forge::pipeline
