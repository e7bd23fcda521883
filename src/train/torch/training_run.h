// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "train/engine.h"
#include "train/torch/adamw.h"

namespace forge::train {

/// What a step computed: gradients in the order of the optimiser's groups, and numbers to report.
struct StepOutcome {
  std::vector<at::Tensor> gradients;
  double loss = 0;
  std::optional<double> gradient_norm = {};  // where it is known already
  std::vector<std::pair<std::string, double>> metrics;
};

/// The loop that all training jobs share: resume, step, learning rate, clip, update, report, checkpoint,
/// stop. `compute` is pure in (step, the groups' values). Returns the losses of the steps done here. `review`
/// (may be empty): TrainJob::review without the weights.
struct Review {
  std::function<bool(int finished_steps)> call;
  int interval = 0;
};
std::vector<double> RunTraining(AdamW& optimizer, const OptimizerConfig& config, int steps,
                                std::string_view fingerprint, const JobEnvironment& environment,
                                const std::function<StepOutcome(int step)>& compute,
                                const Review& review = {});

/// "cpu" or "cuda"; Error(kEnvironment) for cuda where there is none, Error(kUsage) for another word.
at::Device ParseDevice(const std::string& device);

}  // namespace forge::train
