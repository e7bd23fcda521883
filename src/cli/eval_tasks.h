// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/eval_config.h"
#include "cli/eval_rows.h"
#include "cli/model_flags.h"
#include "cli/terminal.h"
#include "eval/task_file.h"

namespace forge::cli {

/// Whether an entry of --tasks names items as the pipeline's stages take them: starter, data:FOLDER,
/// FILE.jsonl.
bool IsPipelineTask(const std::string& spec);

/// A model under the name that it was given, loaded when something has to be measured.
class EvalModel {
 public:
  EvalModel(std::string name, const ModelFlags& flags) : name_(std::move(name)), flags_(flags) {}
  const std::string& name() const { return name_; }
  const ModelFlags& flags() const { return flags_; }
  const RunnableModel& Loaded();
  const std::string& Hash();

 private:
  std::string name_;
  const ModelFlags& flags_;
  std::optional<RunnableModel> loaded_;
  std::string hash_;
};

/// Measures one entry of --tasks of the pipeline's kind: exact match, or nats per token with a bootstrap
/// interval. Throws Error(kUsage) for a split that they do not have.
std::vector<EvalRow> MeasurePipelineTask(const std::string& spec, const EvalConfig& config, EvalModel& model,
                                         Terminal& terminal);

/// A task that is described by a file, as --tasks names it.
eval::TaskFile FindTask(const std::string& spec);

/// Measures a task, or takes its result from the cache.
std::vector<EvalRow> MeasureTask(const eval::TaskFile& task, const EvalConfig& config, EvalModel& model,
                                 Terminal& terminal);

}  // namespace forge::cli
