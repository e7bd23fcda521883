// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "pipeline/compress_settings.h"
#include "pipeline/evolve_inputs.h"
#include "pipeline/reason_config.h"
#include "pipeline/run_manager.h"

namespace forge::pipeline {

/// `forge run-pipeline`: all stages with one set of settings. Fields that stages share are given once here.
struct UnifiedConfig {
  bool no_evomerge = false;
  bool no_quietstar = false;
  bool no_compression = false;
  std::string input_model;
  std::string preset = "starter";
  std::string sample_prompt;
  EvolveConfig evolve;
  ReasonConfig reason;
  CompressSettings compress;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit(
        "preset", preset, OneOf{{"starter", "smoke", "small"}},
        "starter: the starter suite is trained first when no models are given. smoke: a quick pass over real "
        "models (NLL fitness, one generation, no training). small: all stages on models of some 100 million "
        "weights, in about an hour.");
    visit("no_evomerge", no_evomerge, AnyValue{}, "Leave the merge out; needs --input-model.");
    visit("no_quietstar", no_quietstar, AnyValue{}, "Leave the reasoning stage out.");
    visit("no_compression", no_compression, AnyValue{}, "Leave the compression out.");
    visit("input_model", input_model, AnyValue{}, "The model to start from when the merge is left out.");
    visit("sample_prompt", sample_prompt, AnyValue{},
          "Prompt of the sample that the final model writes; empty: one that fits the tasks.");
    evolve.VisitFields(visit);
    reason.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view help) {
      if (name != "model" && name != "out") visit(name, value, rule, help);
    });
    compress.VisitFields([&](std::string_view name, auto& value, const auto& rule, std::string_view help) {
      if (name == "input_model" || name == "output_model" || name == "eval_samples") return;
      visit(name == "learning_rate"    ? std::string_view("compress_learning_rate")
            : name == "training_steps" ? std::string_view("compress_steps")
                                       : name,
            value, rule, help);
    });
  }
};

/// What the first stages start from.
struct UnifiedInputs {
  std::optional<EvolveInputs> evolve;  // unless the starter suite has to be trained first
  std::optional<LoadedModel> model;    // without the merge
  bool trains = false;                 // some stage that is left needs the training engine
};

/// Reads and checks all that the stages will need and that is there before them, so that a name, file or
/// setting that cannot be used stops the command before a run is recorded. What only finished stages needed
/// may be gone.
UnifiedInputs LoadUnifiedInputs(const UnifiedConfig& config, const StartPoint& start);

/// Runs the stages in order; a stage whose result is in the store is not run again. The model goes from stage
/// to stage through its folder, so that a resumed run continues with the same bytes. Returns the result for
/// FinishRun: final_model, versions, sample.
io::Json RunUnifiedPipeline(UnifiedConfig config, UnifiedInputs inputs, const RunContext& context);

}  // namespace forge::pipeline
