// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/config_field.h"

namespace forge::pipeline {

struct ReasonConfig {
  std::string model;
  std::string out;
  std::string eval_dataset = "starter";
  int eval_samples = 1000;
  int ab_rounds = 1;
  int thought_steps = 60;
  int bake_steps = 500;
  int bake_thoughts = 8;
  double thought_learning_rate = 1e-4;
  double bake_learning_rate = 1e-3;
  double min_improvement = 0.02;
  double significance_threshold = 0.01;
  double max_guard_loss = 0.01;

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("model", model, AnyValue{}, "The model to teach: a folder or GGUF file.");
    visit("out", out, AnyValue{}, "Folder for the result; empty: only in the run folder.");
    visit("eval_dataset", eval_dataset, AnyValue{},
          "starter; gsm8k:FILE.jsonl, lines with question and answer, its first ones; or data:FOLDER, the "
          "questions of GSM8K among the test items of --tasks data:FOLDER. Only the starter's can be trained "
          "on.");
    visit("eval_samples", eval_samples, InRange{10, 100000}, "Questions of each round of the A/B test.");
    visit("ab_rounds", ab_rounds, InRange{1, 10},
          "Rounds of the A/B test, each on questions of its own; they are pooled.");
    visit("thought_steps", thought_steps, InRange{0, 100000}, "Quiet-STaR training steps.");
    visit("bake_steps", bake_steps, InRange{1, 100000},
          "Distillation steps, of the baked model and of the control.");
    visit("bake_thoughts", bake_thoughts, InRange{1, 64}, "Thoughts averaged into each target.");
    visit("thought_learning_rate", thought_learning_rate, InRange{1e-8, 1},
          "Of the weights in Quiet-STaR training.");
    visit("bake_learning_rate", bake_learning_rate, InRange{1e-8, 1}, "Of the distillation.");
    visit("min_improvement", min_improvement, InRange{0, 1},
          "Least gain by thoughts, as a share of all questions.");
    visit("significance_threshold", significance_threshold, InRange{1e-6, 0.5},
          "Of the paired tests (mid-p McNemar).");
    visit("max_guard_loss", max_guard_loss, InRange{0, 1}, "Most that a domain may lose by baking.");
  }
};

}  // namespace forge::pipeline
