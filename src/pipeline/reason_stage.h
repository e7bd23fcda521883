// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pipeline/model_source.h"
#include "pipeline/reason_config.h"
#include "pipeline/reason_questions.h"
#include "pipeline/run_context.h"

namespace forge::pipeline {

/// Quiet-STaR and baking (quiet-star.md 5.1): tests whether thoughts help the model (arms A0 to A3), trains
/// thinking with learned start and end tokens and a mixing head, bakes the thinking into plain weights by
/// distillation, trains a control the same way without thoughts, and tests again (C0, B0, B1, guards) on the
/// test split.
///
/// Writes <run>/reason/baked, a standard model folder that needs no thought token and no mixing head. Ends
/// the stage "reason" with the result of track/run_report.h. Returns the baked model, or the input model if
/// the verdict is no_gain.
/// `questions`: LoadQuestions with the model's tokenizer.
LoadedModel RunReasonStage(const ReasonConfig& config, QuestionSet questions, LoadedModel model,
                           const RunContext& context);

}  // namespace forge::pipeline
